'use strict';
'require view';
'require dom';
'require poll';
'require ui';
'require pngw.gateway as gateway';

const pskText = psk => {
	if (psk.waiting) // which stands on top
		return gateway.badge([ '!', 'warning', _('none yet') ]);
	return psk.until ? _('good until %s').format(gateway.time(psk.until)) : _('there');
};

const enrolment = e => ({
	enrolled: _('enrolled as %s').format(e.gateway),
	pending: _('waits for the operator of %s').format(e.server),
	refused: _('refused: %s').format(e.detail)
}[e.state] ?? _('none'));

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: gateway.statusNow,

	render(status) {
		this.content = E('div', {}, this.all(status));
		poll.add(() => this.look(), 5);
		return E('div', {}, [ E('h2', {}, [ _('PN gateway') ]), this.content ]);
	},

	async look() {
		const status = await this.load();
		// What somebody types or has opened stays.
		if (!this.content.contains(document.activeElement) || document.activeElement.tagName !== 'INPUT')
			dom.content(this.content, this.all(status));
	},

	all(s) {
		return [ ...this.problems(s), ...(s.failure ? [] : this.facts(s)), ...this.controls(s) ];
	},

	problems(s) {
		const p = gateway.problem;
		if (s.failure)
			return [ p(_('The agent does not answer'), [ s.failure ], 'error') ];
		const found = [];
		if (!s.gateway)
			found.push(p(_('This gateway has no name yet'), [ _('Its CPNS Server\'s operator gives a code for it: enter it below.'), s.psk1.waiting ?? '' ]));
		else if (s.psk1.waiting)
			found.push(p(_('There is no key between gateway and server yet'), [ _('Requests wait until it is here.'), s.psk1.waiting ]));
		if (!s.clock_set)
			found.push(p(_('The router\'s clock is not set'), [ _('Requests wait until it has reached a time server.') ]));
		if (s.pnes.alarm)
			found.push(p(_('Devices under alarm: %d').format(s.pnes.alarm), [ E('a', { 'href': L.url('admin/services/pngw/devices') }, [ _('See which, and what to do') ]) ], 'error'));
		if (s.gateway && !s.links.some(l => l.state === 'up'))
			found.push(p(_('No link to devices is up'), [ _('Check cables and plugs, and the links of the settings.') ]));
		if (s.unwritten?.length)
			found.push(p(_('Keys cannot be written to flash'), s.unwritten, 'error'));
		if (s.faults?.length)
			found.push(p(_('Records do not open'), s.faults, 'error'));
		return found;
	},

	facts(s) {
		const counts = Object.keys(gateway.states).filter(k => s.pnes[k])
			.map(k => E('div', {}, [ gateway.badge([ gateway.states[k][0], gateway.states[k][1], '%s: %d'.format(gateway.states[k][2], s.pnes[k]) ]) ]));
		const rows = [
			[ _('Agent'), _('%s, runs for %t').format(s.version, s.uptime_s) ],
			[ _('Gateway'), s.gateway || _('no name yet') ],
			[ _('Server'), s.server || _('none yet') ],
			[ _('Enrolment'), enrolment(s.enrolment) ],
			[ _('Key to the server'), pskText(s.psk1) ],
			[ _('Clock'), s.clock_set ? gateway.time(s.time) : _('not set') ],
			[ _('Devices'), counts.length ? E('div', {}, counts) : _('none yet') ],
			[ _('Discovered'), _('%d that nobody has taken in').format(s.discovered) ]
		];
		if (s.enrolment.fingerprint)
			rows.push([ _('Fingerprint'), s.enrolment.fingerprint ]);
		if (s.page) {
			rows.push([ _('Technicians\' page'), E('div', {}, [
				E('a', { 'href': s.page.url, 'rel': 'noreferrer' }, [ s.page.url ]),
				...(s.page.detail ? [ ' ', s.page.detail ] : []),
				...(s.page.pin ? [] : [ E('div', {}, [ _('Nobody can log in yet. On the router: %s').format('pngw web set-pin') ]) ])
			]) ]);
			rows.push([ _('Fingerprint of the page\'s CA'), s.page.ca_fingerprint ]);
		}
		return [ E('table', { 'class': 'table' }, rows.map(([ what, value ]) => E('tr', { 'class': 'tr' }, [
			E('td', { 'class': 'td left', 'width': '33%' }, [ what ]),
			E('td', { 'class': 'td left', 'style': 'overflow-wrap:anywhere' }, [ value ])
		]))) ];
	},

	controls(s) {
		if (!L.hasViewPermission())
			return [];
		const parts = [];
		if (!s.failure && !s.gateway) {
			// One field, whatever is drawn anew about it: a mistyped code is mended, not typed again.
			const code = this.code ??= E('input', { 'id': 'pngw-code', 'type': 'text', 'class': 'cbi-input-text', 'placeholder': 'CPNS1-…', 'autocomplete': 'off', 'spellcheck': 'false', 'style': 'width:100%; max-width:40em' });
			parts.push(E('div', { 'class': 'cbi-section' }, [
				E('h3', {}, [ _('Enrol') ]),
				E('label', { 'for': 'pngw-code' }, [ _('The code that the server\'s operator gave') ]),
				E('div', {}, [ code ]),
				E('button', { 'class': 'btn cbi-button cbi-button-action', 'click': ui.createHandlerFn(this, 'enrol', code) }, [ _('Enrol') ])
			]));
		}
		const button = (action, label) => E('button', { 'class': 'btn cbi-button cbi-button-action', 'click': ui.createHandlerFn(this, 'service', action) }, [ label ]);
		parts.push(E('div', { 'class': 'cbi-page-actions' }, s.failure
			? [ button('start', _('Start')) ]
			: [ button('restart', _('Restart')), ' ', button('stop', _('Stop')) ]));
		return parts;
	},

	async enrol(field) {
		try {
			await gateway.enrol(field.value);
			field.value = '';
			field.blur();
		} catch (failure) {
			ui.addNotification(null, [ E('p', {}, [ failure.message ]) ], 'danger');
		}
		return this.look();
	},

	async service(action) {
		try {
			const { ok, said } = await gateway.service(action);
			if (said || !ok)
				ui.addNotification(null, (said || _('It did not work, and nothing was said about why.')).split('\n').map(line => E('p', {}, [ line ])), ok ? 'info' : 'danger');
		} catch (failure) {
			ui.addNotification(null, [ E('p', {}, [ failure.message ]) ], 'danger');
		}
		return this.look();
	}
});
