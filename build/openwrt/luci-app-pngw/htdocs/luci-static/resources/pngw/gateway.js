'use strict';
'require baseclass';
'require rpc';

// What pngw answers by rpcd. Whatever comes from there may have been said by a hostile
// device: it goes into pages as text, in arrays, for a string of its own is HTML to E().

const method = (name, ...params) => {
	const call = rpc.declare({ object: 'luci.pngw', method: name, params, expect: { '': {} }, reject: true });
	return (...args) => call(...args).then(answer => {
		if (answer.error)
			throw new Error(answer.error);
		return answer;
	});
};

const status = method('status');

const salt = method('salt', 'user');

const bytes = base64 => Uint8Array.from(atob(base64), c => c.charCodeAt(0));

const hex = raw => Array.from(raw, b => b.toString(16).padStart(2, '0')).join('');

return baseclass.extend({
	status,

	// statusNow is the status, or why there is none: an agent that does not run is nothing
	// that a page should end at.
	statusNow: () => status().catch(failure => ({ failure: failure.message })),

	devices: method('devices', 'search', 'state', 'offset', 'entity_ids'),
	discovered: method('discovered'),
	check: method('check'),
	provision: method('provision', 'user', 'password_hash', 'entity_ids', 'again'),
	authenticate: method('authenticate', 'entity_ids'),
	readmit: method('readmit', 'entity_ids'),
	forget: method('forget', 'entity_ids'),
	enrol: method('enrol', 'code'),
	service: method('service', 'action'),

	// hashPassword is Hash(Password), which takes seconds. The password itself does not
	// leave the browser; over HTTP that is all there is between it and who listens.
	async hashPassword(user, password) {
		const [ { argon2 }, answer ] = await Promise.all([ import(L.resource('pngw/argon2.js')), salt(user) ]);
		return hex(await argon2(new TextEncoder().encode(password), bytes(answer.salt)));
	},

	// The states of a device, in its life's order.
	states: {
		requested: [ '…', 'notice', _('Asked for') ],
		assigned: [ '…', 'warning', _('Waits for its key') ],
		delivered: [ '✓', 'success', _('Has its key') ],
		used_up: [ '!', 'warning', _('Keys used up') ],
		alarm: [ '!', 'danger', _('Alarm') ]
	},

	// badge shows a state by sign, word and colour.
	badge([ sign, level, word ]) {
		const colour = { success: 'success', warning: 'warn', danger: 'error' }[level];
		return E('span', { 'class': 'pngw-badge', 'data-level': level,
			'style': 'display:inline-block; white-space:normal; border-left:.35em solid var(--%s-color-medium, currentColor); padding-left:.5em'.format(colour ?? 'primary') },
		[ '%s %s'.format(sign, word) ]);
	},

	state(device) {
		return this.badge(this.states[device.state] ?? [ '?', 'notice', device.state ]);
	},

	// problem is a box with what is wrong and what to do.
	problem(title, lines, level) {
		return E('div', { 'class': 'alert-message ' + (level ?? 'warning'), 'role': 'alert' }, [
			E('strong', { 'style': 'display:block' }, [ title ]),
			...lines.map(line => E('p', { 'style': 'overflow-wrap:anywhere' }, [ line ]))
		]);
	},

	time(stamp) {
		return stamp ? new Date(stamp).toLocaleString() : _('not since the start');
	},

	// table is LuCI's, with a row of titles; cells are arrays.
	table(titles, rows, empty) {
		return E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, titles.map(t => E(t ? 'th' : 'td', { 'class': 'th' }, [ t ]))),
			...rows.map(cells => E('tr', { 'class': 'tr' }, cells.map((cell, i) =>
				E('td', { 'class': 'td', 'data-title': cell.length ? titles[i] : null, 'style': 'overflow-wrap:anywhere' }, cell)))),
			...(rows.length ? [] : [ E('tr', { 'class': 'tr placeholder' }, [ E('td', { 'class': 'td', 'colspan': titles.length }, [ E('em', { 'style': 'display:block;line-height:1.25' }, [ empty ]) ]) ]) ])
		]);
	}
});
