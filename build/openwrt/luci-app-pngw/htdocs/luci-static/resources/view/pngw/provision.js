'use strict';
'require view';
'require dom';
'require poll';
'require ui';
'require pngw.gateway as gateway';

// Devices that the server is asked about in one call: as many as the agent asks at once.
// A call must end before LuCI gives it up, whatever the server does.
const chunk = 4;

const most = 200; // devices; more are for pngw provision --csv and the technicians' page

// What the server's refusals mean, by the status that it gave.
const advice = {
	1: _('The server does not know this user with this password. Check both, and try again. Ten wrong ones lock the user.'),
	2: _('The clocks of router and server differ by more than five minutes. The router needs a time server.'),
	3: _('The server does not know this device. Compare with its label; the server\'s operator enters devices.'),
	4: _('The device belongs to somebody else, or the server wants to have heard from it first. Switch it on and try again; else its owner or the server\'s operator has to release it.'),
	5: _('Too many wrong passwords: the user is locked for now. The password was not looked at.')
};

const results = {
	waiting: [ '…', 'notice', _('In line') ],
	asking: [ '…', 'notice', _('Asking the server') ],
	held: [ '✓', 'notice', _('Has its keys already') ],
	delivered: [ '✓', 'success', _('Delivered: the device has proved its key') ],
	assigned: [ '…', 'warning', _('Its keys are here: it gets the first when it says hello') ],
	refused: [ '!', 'danger', _('Refused') ],
	unreachable: [ '!', 'danger', _('The server cannot be asked') ],
	failed: [ '!', 'danger', _('Failed') ],
	unasked: [ '–', 'notice', _('Not asked for') ]
};

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load() {
		return gateway.discovered().catch(failure => failure);
	},

	render(found) {
		this.rows = new Map(); // what was asked for, by Entity ID or label's text
		this.chosen = new Set();
		this.found = E('div', {});
		this.table = E('div', { 'aria-live': 'polite' });
		this.showFound(found);
		const given = new URLSearchParams(location.search).get('device');
		poll.add(() => this.look(), 3);
		return E('div', {}, [
			E('h2', {}, [ _('Take devices in') ]),
			...(location.protocol === 'https:' ? [] : [ gateway.problem(_('This page is not encrypted'),
				[ _('Whoever listens between this browser and the router could take devices in as the user whose password is typed here. The password itself does not leave the browser. Better open LuCI by https://.') ]) ]),
			this.found,
			L.hasViewPermission() ? this.form(given) : E('p', {}, [ _('You may look, and not take devices in.') ]),
			this.table
		]);
	},

	form(given) {
		this.more = E('textarea', { 'id': 'pngw-more', 'rows': 3, 'class': 'cbi-input-textarea', 'style': 'width:100%; max-width:40em', 'spellcheck': 'false', 'autocapitalize': 'off' }, [ given ?? '' ]);
		this.user = E('input', { 'id': 'pngw-user', 'class': 'cbi-input-text', 'autocomplete': 'off', 'autocapitalize': 'off', 'spellcheck': 'false' });
		this.password = E('input', { 'id': 'pngw-password', 'type': 'password', 'class': 'cbi-input-password', 'autocomplete': 'off' });
		const field = (input, label, description) => E('div', { 'class': 'cbi-value' }, [
			E('label', { 'class': 'cbi-value-title', 'for': input.id }, [ label ]),
			E('div', { 'class': 'cbi-value-field' }, [ input, E('div', { 'class': 'cbi-value-description' }, [ description ]) ])
		]);
		return E('div', { 'class': 'cbi-section' }, [
			field(this.more, _('Other devices'), _('An Entity ID, or the text of a label (CPNS:1:…), one a line.')),
			field(this.user, _('User'), _('The CPNS user whom the devices belong to.')),
			field(this.password, _('Password'), _('That of this user at the server. It does not leave this browser.')),
			E('div', { 'class': 'cbi-page-actions' }, [
				E('button', { 'class': 'btn cbi-button cbi-button-apply', 'click': ui.createHandlerFn(this, 'begin') }, [ _('Take in') ])
			])
		]);
	},

	showFound(found) {
		if (found instanceof Error) {
			dom.content(this.found, [ gateway.problem(_('The agent does not answer'), [ found.message ], 'error') ]);
			return;
		}
		const ids = new Set(found.discovered.map(d => d.entity_id));
		this.chosen.forEach(id => ids.has(id) || this.chosen.delete(id));
		const focused = this.found.contains(document.activeElement) && document.activeElement.value;
		const boxes = found.discovered.map(d => E('input', {
			'type': 'checkbox', 'value': d.entity_id, 'aria-label': _('Choose %s').format(d.entity_id), 'checked': this.chosen.has(d.entity_id) ? '' : null,
			'change': ev => ev.target.checked ? this.chosen.add(d.entity_id) : this.chosen.delete(d.entity_id)
		}));
		dom.content(this.found, [
			E('h3', {}, [ _('Devices that say hello') ]),
			gateway.table([ '', _('Device'), _('Link'), _('Last heard'), _('Remarks') ], found.discovered.map((d, i) => [
				[ boxes[i] ], [ d.entity_id ], [ d.link ], [ gateway.time(d.last_seen) ],
				d.epoch ? [ _('It had a key, of another gateway or from earlier.') ] : []
			]), _('None at the moment. Is the device switched on and connected? It says hello within seconds. It can be taken in by its label, too.')),
			...(found.total > found.discovered.length ? [ E('p', {}, [ _('%d more are not shown.').format(found.total - found.discovered.length) ]) ] : [])
		]);
		boxes.find(b => b.value === focused)?.focus();
	},

	async look() {
		this.showFound(await this.load());
		const open = [ ...this.rows ].filter(([ , r ]) => r.result === 'assigned').map(([ id ]) => id);
		for (let i = 0; i < open.length; i += 100) {
			const { devices } = await gateway.devices('', '', 0, open.slice(i, i + 100)).catch(() => ({ devices: [] }));
			for (const d of devices)
				if (d.index > 0)
					this.tell(d.entity_id, { result: 'delivered' });
		}
	},

	tell(id, row) {
		this.rows.set(id, row);
		dom.content(this.table, [
			E('h3', {}, [ _('Asked for') ]),
			gateway.table([ _('Device'), _('State'), '' ], [ ...this.rows ].map(([ id, r ]) => [
				[ id ],
				[ gateway.badge(results[r.result] ?? [ '?', 'notice', r.result ]), ...[ advice[r.status] ?? r.detail ].filter(t => t).map(t => E('div', {}, [ t ])) ],
				this.again(id, r)
			]))
		]);
	},

	again(id, r) {
		if (![ 'held', 'refused', 'unreachable', 'failed', 'unasked' ].includes(r.result))
			return [];
		const renew = r.result === 'held';
		return [ E('button', { 'class': 'btn cbi-button', 'aria-label': '%s: %s'.format(renew ? _('New keys') : _('Try again'), id),
			'title': renew ? _('Only needed where the device has lost its keys for good, or is to be somebody else\'s') : null,
			'click': ui.createHandlerFn(this, 'begin', [ id ], renew) }, [ renew ? _('New keys') : _('Try again') ]) ];
	},

	async begin(ids, again) {
		const typed = !Array.isArray(ids);
		if (typed)
			ids = [ ...new Set([ ...this.chosen, ...this.more.value.split('\n').map(l => l.trim()).filter(l => l) ]) ];
		const user = this.user.value.trim();
		const lacks = [
			[ ids.length === 0, _('Which devices? Choose some, or type them in.'), this.more ],
			[ ids.length > most, _('At most %d at once: for more there are the technicians\' page and pngw provision --csv.').format(most), this.more ],
			[ !user, _('Which user?'), this.user ],
			[ !this.password.value, _('The password is missing.'), this.password ]
		].find(([ lacking ]) => lacking);
		if (lacks) {
			ui.addNotification(null, [ E('p', {}, [ lacks[1] ]) ], 'warning');
			lacks[2].focus();
			return;
		}
		for (const id of ids)
			this.tell(id, { result: 'waiting' });
		try {
			await this.ask(ids, user, await gateway.hashPassword(user, this.password.value), again);
		} catch (failure) {
			for (const id of ids)
				if ([ 'waiting', 'asking' ].includes(this.rows.get(id)?.result))
					this.tell(id, { result: 'failed', detail: failure.message });
		}
		if (typed) // what was taken in is not asked for again by the next click
			this.more.value = this.more.value.split('\n').filter(l => [ 'refused', 'unreachable', 'failed', 'unasked' ].includes(this.rows.get(l.trim())?.result)).join('\n');
	},

	// ask asks for the devices a few at a time, and for no more of them once the answer
	// would be the same for all.
	async ask(ids, user, hash, again) {
		for (let i = 0; i < ids.length; i += chunk) {
			const some = ids.slice(i, i + chunk);
			some.forEach(id => this.tell(id, { result: 'asking' }));
			let answer;
			try {
				answer = await gateway.provision(user, hash, some, !!again);
			} catch (failure) { // of one of them, mistyped perhaps: each for itself says whose
				if (some.length > 1) {
					for (const id of some)
						if (!await this.ask([ id ], user, hash, again))
							return this.leave(ids);
					continue;
				}
				this.tell(some[0], { result: 'failed', detail: failure.message.replace(/^device 1 of 1: /, '') });
				continue;
			}
			some.forEach(id => this.rows.delete(id)); // a label's text becomes the device's Entity ID
			answer.held.forEach(id => this.tell(id, { result: 'held' }));
			answer.outcomes.forEach(o => this.tell(o.entity_id, o));
			[ ...answer.held, ...answer.outcomes.filter(o => o.result === 'assigned' || o.result === 'delivered').map(o => o.entity_id) ].forEach(id => this.chosen.delete(id));
			if (answer.outcomes.some(o => o.result === 'unreachable' || o.status === 1 || o.status === 5)) {
				this.leave(ids.slice(i + chunk));
				return false;
			}
		}
		return true;
	},

	leave(ids) {
		ids.filter(id => [ 'waiting', 'asking' ].includes(this.rows.get(id)?.result)).forEach(id => this.tell(id, { result: 'unasked' }));
	}
});
