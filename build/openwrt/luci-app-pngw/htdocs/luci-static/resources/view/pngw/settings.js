'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require pngw.gateway as gateway';

// option adds an option to a section; what says the rest.
function option(section, tab, type, name, title, description, what) {
	const o = tab ? section.taboption(tab, type, name, title, description) : section.option(type, name, title, description);
	o.rmempty = true;
	for (const key in what ?? {})
		if (key === 'values')
			what.values.forEach(v => o.value(...[].concat(v)));
		else if (key === 'depends')
			[].concat(what.depends).forEach(d => o.depends(d));
		else
			o[key] = what[key];
	return o;
}

// absolute says what pngw would of a path.
const absolute = (id, value) => !value || value.startsWith('/') || _('An absolute path, please: it begins with /');

const timed = (id, value) => !value || /^(0|([0-9.]+(ms|s|m|h))+)$/.test(value) || _('A time, such as 30s, 90m or 24h');

return view.extend({
	load() {
		return Promise.all([ uci.load('pngw'), gateway.check().catch(failure => failure) ]);
	},

	render([ , checked ]) {
		const m = new form.Map('pngw', _('Settings of the PN gateway'), _('What is saved is checked by pngw itself before it is applied.'));
		this.service(m);
		this.gateway(m);
		this.links(m);
		this.applications(m);
		return m.render().then(node => E('div', {}, [ ...this.found(checked), node ]));
	},

	// found is what is wrong with the configuration as it is.
	found(checked) {
		if (checked instanceof Error)
			return [ gateway.problem(_('The configuration could not be checked'), [ checked.message ]) ];
		if (!checked.faults.length)
			return [];
		return [ gateway.problem(checked.missing ? _('Something is still missing') : _('The configuration is wrong, and the agent would not start'), this.lines(checked), checked.missing ? 'warning' : 'error') ];
	},

	lines(checked) {
		return checked.faults.map(f => f.section ? '%s: %s'.format(f.section, f.text) : f.text);
	},

	service(m) {
		const s = m.section(form.NamedSection, 'service', 'service', _('Service'));
		s.addremove = false;
		option(s, null, form.Flag, 'enabled', _('Start the agent at boot'), null, { rmempty: false });
		option(s, null, form.Value, 'gomemlimit', _('Memory'), _('What the agent aims to stay below.'), { placeholder: '12MiB' });
		option(s, null, form.Value, 'gogc', _('Garbage collection'), _('A percentage, or off to leave it to the bound of memory.'), { placeholder: '100' });
		option(s, null, form.Value, 'gomaxprocs', _('Processor cores'), _('As many as there are, unless given.'), { datatype: 'range(1,256)' });
	},

	gateway(m) {
		const s = m.section(form.TypedSection, 'gateway', _('Gateway'));
		s.anonymous = true;
		s.addremove = false;
		s.tab('server', _('Server'));
		s.tab('sim', _('SIM'));
		s.tab('signs', _('Lights and button'));
		s.tab('more', _('More'));

		option(s, 'server', form.Value, 'enrol', _('Enrolment code'), _('From the server\'s operator. With it, none of the next three is needed.'), { placeholder: 'CPNS1-…', password: true });
		option(s, 'server', form.Value, 'id', _('Gateway\'s name'), _('As the CPNS Server knows it.'));
		option(s, 'server', form.Value, 'server', _('CPNS Server'), null, { placeholder: 'https://cpns.example.net:8443',
			validate: (id, v) => !v || /^https:\/\/[^\/?#]+\/?$/.test(v) || _('https:// and the server\'s name, please') });
		option(s, 'server', form.Value, 'psk_file', _('File with the key to the server'), _('PSK1 in hex, which the server\'s operator gives.'), { placeholder: '/etc/pngw/psk1', validate: absolute });
		option(s, 'server', form.Value, 'psk_identity', _('The key\'s identity'), _('Where it is another than the gateway\'s name.'));
		option(s, 'server', form.Value, 'ca', _('CA of the server'), _('A PEM file. Without it, the router\'s own list of CAs counts.'), { placeholder: '/etc/pngw/ca.pem', validate: absolute });
		option(s, 'server', form.Value, 'pin', _('Pin of the server'), _('Base64 of SHA-256 of its public key.'));
		option(s, 'server', form.Value, 'proxy', _('HTTP proxy'), null, { placeholder: 'http://192.168.1.2:3128' });

		option(s, 'sim', form.ListValue, 'psk_source', _('The key comes from'), null, {
			values: [ [ '', _('enrolment, or else the file') ], [ 'file', _('the file') ], [ 'tls', _('enrolment') ], [ 'gba', _('the SIM') ] ] });
		const gba = { psk_source: 'gba' };
		option(s, 'sim', form.Value, 'sim', _('The SIM\'s modem'), null, { placeholder: 'at:/dev/ttyUSB2', depends: gba });
		option(s, 'sim', form.Value, 'gba_ua', _('Ua protocol identifier'), _('As agreed on with the mobile network\'s operator, 5 bytes in hex.'), { placeholder: '0300000001', depends: gba });
		option(s, 'sim', form.Value, 'gba_bsf', _('BSF'), _('Unless the SIM says.'), { depends: gba });
		option(s, 'sim', form.Value, 'gba_ca', _('CA of the BSF'), _('For a BSF by https.'), { placeholder: '/etc/pngw/bsf-ca.pem', depends: gba, validate: absolute });
		option(s, 'sim', form.Value, 'gba_impi', _('IMPI'), _('Unless the SIM says.'), { depends: gba });

		option(s, 'signs', form.Value, 'led', _('Light'), _('One of /sys/class/leds, or an alias of the device tree. It shows what the agent does.'), { placeholder: 'led-running' });
		option(s, 'signs', form.Value, 'alarm_led', _('Light for alarms'), _('Unless the other shows them, too.'), { placeholder: 'red:status' });
		option(s, 'signs', form.Value, 'button', _('Button'), _('A key of the router. Pressed for long it takes prepared devices in.'), { placeholder: 'wps' });
		option(s, 'signs', form.Value, 'button_device', _('The button\'s device'), _('Unless any that has the key will do.'), { placeholder: 'gpio-keys' });
		option(s, 'signs', form.Value, 'button_hold', _('To be pressed for'), null, { placeholder: '3s', validate: timed });

		option(s, 'more', form.Value, 'web', _('Technicians\' page'), _('The router\'s address in its own network and a port. Its PIN: pngw web set-pin'), { placeholder: '192.168.1.1:8480' });
		option(s, 'more', form.Value, 'metrics', _('Metrics'), _('An address of this router alone, for Prometheus.'), { placeholder: '127.0.0.1:9464' });
		option(s, 'more', form.Flag, 'metrics_devices', _('Metrics name devices'));
		option(s, 'more', form.Value, 'reauth', _('Devices prove their keys every'), _('Each time takes a key of each device. 0 for never.'), { placeholder: '24h', validate: timed });
		option(s, 'more', form.ListValue, 'log_level', _('Log'), null, { default: 'info', values: [ 'debug', 'info', 'warn', 'error' ] });
		option(s, 'more', form.Value, 'hook_dir', _('Folder of hooks'), null, { placeholder: '/etc/pngw/hooks.d', validate: absolute });
		option(s, 'more', form.Flag, 'hook_session_key', _('Hooks get session keys'));
		option(s, 'more', form.Value, 'hook_timeout', _('A hook may take'), null, { placeholder: '30s', validate: timed });
		option(s, 'more', form.Value, 'socket', _('Socket of the agent'), null, { placeholder: '/var/run/pngw/pngw.sock', validate: absolute });
		option(s, 'more', form.Value, 'store', _('Folder of keys'), null, { placeholder: '/etc/pngw/keys', validate: absolute });
		option(s, 'more', form.Value, 'root_key', _('Root key'), null, { placeholder: '/etc/pngw/root.key', validate: absolute });
		option(s, 'more', form.Value, 'audit_dir', _('Folder of the audit log'), null, { placeholder: '/etc/pngw/audit', validate: absolute });
	},

	links(m) {
		const s = m.section(form.GridSection, 'link', _('Links to devices'));
		s.addremove = true;
		s.nodescriptions = true;
		s.addbtntitle = _('Add a link');
		s.modaltitle = name => _('Link %s').format(name);
		s.sectiontitle = name => name;

		option(s, null, form.Flag, 'enabled', _('On'), null, { default: '1', editable: true, rmempty: false });
		option(s, null, form.ListValue, 'type', _('Type'), null, { rmempty: false, values: [ [ 'serial', _('serial line') ], [ 'usb', 'USB' ], [ 'mqtt', 'MQTT' ] ] });
		option(s, null, form.DummyValue, '_where', _('Where'), null, { modalonly: false,
			textvalue: id => [ 'device', 'id', 'url' ].map(name => uci.get('pngw', id, name)).find(v => v) ?? '' });
		const only = (type, name, title, description, what) => option(s, null, form.Value, name, title, description, Object.assign({ modalonly: true, depends: { type } }, what));
		only('serial', 'device', _('Device'), _('Its name under /dev/serial/by-id or by-path stays when numbers move.'), { placeholder: '/dev/ttyUSB0', rmempty: false, validate: absolute });
		only('serial', 'baud', _('Speed in baud'), null, { placeholder: '115200', datatype: 'uinteger' });
		only('usb', 'id', _('Vendor and product'), _('In hex, as lsusb has them; without, what has CPNS\'s interface. With :N, its interface N.'), { placeholder: '1209:0001' });
		only('usb', 'serial', _('Serial number'));
		only('usb', 'port', _('Port that it is plugged into'), null, { placeholder: '1-1.2' });
		only('mqtt', 'url', _('Broker'), _('mqtt:// or, for TLS, mqtts://'), { placeholder: 'mqtt://127.0.0.1:1883', rmempty: false,
			validate: (id, v) => !v || /^mqtts?:\/\/./.test(v) || _('mqtt:// or mqtts://, please') });
		only('mqtt', 'prefix', _('Topics begin with'), null, { placeholder: 'cpns' });
		only('mqtt', 'username', _('User name at the broker'));
		only('mqtt', 'password_file', _('File with the password'), null, { placeholder: '/etc/pngw/mqtt-password', validate: absolute });
		only('mqtt', 'client_id', _('Client identifier'));
		option(s, null, form.Flag, 'status', _('Tell the broker whether the gateway is there'), null, { modalonly: true, default: '1', depends: { type: 'mqtt' } });
		only('mqtt', 'ca', _('CA of the broker'), null, { placeholder: '/etc/pngw/mqtt-ca.pem', validate: absolute });
		only('mqtt', 'cert', _('Certificate'), _('Together with its key.'), { placeholder: '/etc/pngw/mqtt-cert.pem', validate: absolute });
		only('mqtt', 'key', _('Its key'), null, { placeholder: '/etc/pngw/mqtt-key.pem', validate: absolute });
	},

	applications(m) {
		const s = m.section(form.GridSection, 'application', _('Applications'), _('What devices speak with by keys of their own, once they have authenticated: the router\'s own MQTT broker, for one.'));
		s.addremove = true;
		s.nodescriptions = true;
		s.addbtntitle = _('Add an application');
		s.modaltitle = name => _('Application %s').format(name);
		s.sectiontitle = name => name;

		option(s, null, form.Flag, 'enabled', _('On'), null, { default: '1', editable: true, rmempty: false });
		option(s, null, form.ListValue, 'type', _('Type'), null, { default: 'psk_file', values: [ [ 'psk_file', _('reads a file') ], [ 'hook', _('hooks') ] ] });
		option(s, null, form.ListValue, 'label', _('Keys for'), null, { default: 'tls13-psk', values: [ [ 'tls13-psk', 'TLS 1.3' ], [ 'tls12-psk', 'TLS 1.2' ] ] });
		const only = (name, title, description, what) => option(s, null, form.Value, name, title, description, Object.assign({ modalonly: true, depends: { type: 'psk_file' } }, what));
		only('group', _('Group that may read the file'), null, { placeholder: 'mosquitto' });
		only('service', _('Service that rereads it'), null, { placeholder: 'mosquitto' });
		only('path', _('File'), null, { placeholder: '/var/run/pngw-applications/…/psk', validate: absolute });
		only('pid_file', _('File with its process\'s number'), _('In place of what the init script does.'), { validate: absolute });
		only('notify', _('FIFO'), null, { validate: absolute });
	},

	// LuCI is told nothing of what an init script says to a configuration: pngw looks at it
	// first, as it would be.
	async handleSaveApply(ev, mode) {
		await this.handleSave(ev);
		let checked;
		try {
			checked = await gateway.check();
		} catch (failure) {
			checked = { missing: true, faults: [ { text: _('It could not be checked: %s').format(failure.message) } ] };
		}
		if (!checked.faults.length)
			return ui.changes.apply(mode == '0');
		ui.showModal(checked.missing ? _('Something is still missing') : _('That would not work'), [
			E('p', {}, [ checked.missing ? _('The agent does not start with this until a person has brought:') : _('The agent would not start with this:') ]),
			E('ul', {}, this.lines(checked).map(line => E('li', { 'style': 'overflow-wrap:anywhere' }, [ line ]))),
			E('p', {}, [ _('Nothing has been applied. What you have changed is kept.') ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Back') ]),
				...(checked.missing ? [ ' ', E('button', { 'class': 'btn cbi-button-apply', 'click': () => {
					ui.hideModal();
					ui.changes.apply(mode == '0');
				} }, [ _('Apply all the same') ]) ] : [])
			])
		]);
	}
});
