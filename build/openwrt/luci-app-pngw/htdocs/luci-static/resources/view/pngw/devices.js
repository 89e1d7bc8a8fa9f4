'use strict';
'require view';
'require dom';
'require poll';
'require ui';
'require pngw.gateway as gateway';

const page = 100; // devices, as pngw hands them out

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	search: '',
	state: '',
	offset: 0,

	load() {
		return Promise.all([ gateway.devices('', 'alarm', 0), gateway.devices(this.search, this.state, this.offset) ])
			.catch(failure => failure);
	},

	render(answers) {
		this.alarms = E('div', { 'aria-live': 'polite' });
		this.list = E('div', {});
		this.show(answers);
		poll.add(async () => this.show(await this.load()), 5);
		const search = E('input', { 'id': 'pngw-search', 'type': 'text', 'inputmode': 'search', 'class': 'cbi-input-text', 'input': ev => this.find({ search: ev.target.value.trim() }) });
		const state = E('select', { 'id': 'pngw-state', 'class': 'cbi-input-select', 'change': ev => this.find({ state: ev.target.value }) }, [
			E('option', { 'value': '' }, [ _('All') ]),
			...Object.keys(gateway.states).map(s => E('option', { 'value': s }, [ gateway.states[s][2] ]))
		]);
		return E('div', {}, [
			E('h2', {}, [ _('Devices') ]),
			this.alarms,
			E('div', { 'style': 'display:flex; flex-wrap:wrap; gap:1em; align-items:end' }, [
				E('div', {}, [ E('label', { 'for': 'pngw-search', 'style': 'display:block' }, [ _('Search: Entity ID, user or link') ]), search ]),
				E('div', {}, [ E('label', { 'for': 'pngw-state', 'style': 'display:block' }, [ _('State') ]), state ])
			]),
			this.list
		]);
	},

	async find(what) {
		Object.assign(this, { offset: 0 }, what);
		const asked = this.asked = {};
		const answers = await this.load();
		if (asked === this.asked) // and nobody has typed on
			this.show(answers);
	},

	show(answers) {
		if (answers instanceof Error) {
			dom.content(this.alarms, [ gateway.problem(_('The agent does not answer'), [ answers.message ], 'error') ]);
			dom.content(this.list, []);
			return;
		}
		const [ alarms, found ] = answers;
		dom.content(this.alarms, alarms.devices.map(d => this.alarm(d)));
		dom.content(this.list, [
			E('p', {}, [ _('%d of %d devices').format(found.fit, found.total) ]),
			gateway.table([ _('Device'), _('State'), _('Key'), _('User'), _('Link'), _('Last heard'), '' ], found.devices.map(d => this.row(d)),
				found.total ? _('No device fits.') : _('No device has been taken in yet.')),
			...this.pages(found)
		]);
	},

	row(d) {
		return [
			[ d.entity_id ],
			[ gateway.state(d), ...(d.note ? [ E('div', {}, [ d.note ]) ] : []) ],
			d.epoch ? [ _('%d of %d, set %d').format(d.index, d.length, d.epoch) ] : [ '–' ],
			[ d.user ], [ d.link || '–' ], [ gateway.time(d.last_seen) ],
			L.hasViewPermission() ? [
				this.button(_('Check'), 'authenticate', d, _('Has the device prove the key that it holds')), ' ',
				this.button(_('Forget'), 'forget', d, _('Deletes its keys on this gateway'))
			] : []
		];
	},

	button(label, does, d, title) {
		return E('button', { 'class': 'btn cbi-button', 'title': title, 'aria-label': '%s: %s'.format(label, d.entity_id), 'click': ui.createHandlerFn(this, does, d) }, [ label ]);
	},

	alarm(d) {
		return E('div', { 'class': 'alert-message error' }, [
			E('strong', { 'style': 'display:block' }, [ _('Alarm: %s').format(d.entity_id) ]),
			E('p', {}, [ _('The device has shown an older key than it had: it was set back to an old state, or there is a copy of it. It gets no key until a person decides.') ]),
			E('p', {}, [ _('Look at the device. Is it the real one, the only one, and was it repaired or set back? Then let it in again. If a copy may be about, take it in anew: old keys are of no use to a copy then.') ]),
			...(d.note ? [ E('p', {}, [ d.note ]) ] : []),
			...(L.hasViewPermission() ? [ E('div', {}, [
				this.button(_('Let it in again'), 'readmit', d, _('Ends the alarm')), ' ',
				E('a', { 'class': 'btn cbi-button', 'href': L.url('admin/services/pngw/provision') + '?device=' + encodeURIComponent(d.entity_id) }, [ _('New keys') ])
			]) ] : [])
		]);
	},

	pages(found) {
		if (found.fit <= page)
			return [];
		const go = (label, offset) => E('button', { 'class': 'btn cbi-button', 'disabled': offset < 0 || offset >= found.fit ? '' : null, 'click': () => this.find({ offset }) }, [ label ]);
		return [ E('div', {}, [ go('« ' + _('Previous page'), this.offset - page), ' ',
			_('%d to %d').format(this.offset + 1, Math.min(this.offset + page, found.fit)), ' ', go(_('Next page') + ' »', this.offset + page) ]) ];
	},

	say(text, level) {
		ui.addNotification(null, [ E('p', {}, [ text ]) ], level ?? 'info');
	},

	async after(work) {
		try {
			await work;
		} catch (failure) {
			this.say(failure.message, 'danger');
		}
		this.show(await this.load());
	},

	authenticate(d) {
		return this.after(gateway.authenticate([ d.entity_id ]).then(({ results: [ r ] }) => r.result === 'authenticated'
			? this.say(_('%s has proved its key.').format(d.entity_id))
			: this.say('%s: %s'.format(d.entity_id, r.detail || r.result), 'warning')));
	},

	readmit(d) {
		return this.after(gateway.readmit([ d.entity_id ]).then(() =>
			this.say(_('%s is let in again: it gets its next key when it says hello.').format(d.entity_id))));
	},

	forget(d) {
		ui.showModal(_('Forget a device'), [
			E('p', {}, [ _('Delete the keys of %s on this gateway? The device stays the user\'s, and can be taken in again.').format(d.entity_id) ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Keep') ]), ' ',
				E('button', { 'class': 'btn cbi-button-negative', 'click': ui.createHandlerFn(this, async () => {
					ui.hideModal();
					await this.after(gateway.forget([ d.entity_id ]));
				}) }, [ _('Forget') ])
			])
		]);
	}
});
