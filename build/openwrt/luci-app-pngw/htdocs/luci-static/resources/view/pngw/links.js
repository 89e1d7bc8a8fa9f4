'use strict';
'require view';
'require dom';
'require poll';
'require pngw.gateway as gateway';

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: gateway.statusNow,

	render(status) {
		this.content = E('div', {}, this.all(status));
		poll.add(async () => dom.content(this.content, this.all(await this.load())), 3);
		return E('div', {}, [ E('h2', {}, [ _('Links to devices') ]), this.content ]);
	},

	all(s) {
		if (s.failure)
			return [ gateway.problem(_('The agent does not answer'), [ s.failure ], 'error') ];
		return [
			gateway.table([ _('Link'), _('Type'), _('State'), _('Details'), _('Received'), _('Sent'), _('Dropped') ], s.links.map(l => [
				[ l.name ], [ l.type ],
				[ gateway.badge(l.state === 'up' ? [ '✓', 'success', _('Up') ] : [ '!', 'warning', _('Not there') ]) ],
				[ l.detail ], [ l.received ], [ l.sent ], [ l.dropped ]
			]), _('No link is set up: see the settings.')),
			E('p', {}, [ _('Messages are counted since the agent\'s start. A serial line that drops many has noise, or another speed than its device.') ])
		];
	}
});
