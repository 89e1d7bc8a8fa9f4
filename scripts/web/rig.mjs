// A gateway with its page, as it is in the field: the real pngw, a real cpns-server, a
// real broker and real devices, all on this machine's loopback.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { answers, bin, freePort, Stage, until } from './stage.mjs';

export { until } from './stage.mjs';
export const PIN = '483920', USER = 'alice', PASSWORD = 'correct horse — Bäckerei';

export class Rig extends Stage {
  static async start() {
    const r = new Rig();
    [r.serverPort, r.brokerPort, r.pagePort] = [await freePort(), await freePort(), await freePort()];
    r.url = `https://127.0.0.1:${r.pagePort}`;
    r.write('password', PASSWORD + '\n');
    r.write('pin', PIN + '\n');
    r.run('cpns-server', ['init', '--data', 'server']);
    r.run('cpns-server', ['user', 'add', '--password-file', 'password', '--data', 'server', USER]);
    r.run('cpns-server', ['user', 'add', '--password-file', 'password', '--data', 'server', 'bob']);
    r.run('cpns-server', ['gateway', 'add', '--data', 'server', 'gw-hall-2', '--psk-out', 'psk1']);
    await r.server();
    r.write('mosquitto.conf', `listener ${r.brokerPort} 127.0.0.1\nallow_anonymous true\n`);
    r.spawn('mosquitto', existsSync('/usr/sbin/mosquitto') ? '/usr/sbin/mosquitto' : 'mosquitto', ['-c', 'mosquitto.conf']);
    await until('the broker', () => answers(r.brokerPort));
    r.write('pngw.conf', `config gateway 'main'
	option id 'gw-hall-2'
	option server 'https://127.0.0.1:${r.serverPort}'
	option ca '${r.dir}/server/ca.pem'
	option psk_file '${r.dir}/psk1'
	option root_key '${r.dir}/root.key'
	option store '${r.dir}/keys'
	option socket '${r.dir}/pngw.sock'
	option web '127.0.0.1:${r.pagePort}'

config link 'hall'
	option type 'mqtt'
	option url 'mqtt://127.0.0.1:${r.brokerPort}'
`);
    r.run('pngw', ['--config', 'pngw.conf', 'init']);
    r.run('pngw', ['--config', 'pngw.conf', 'web', 'set-pin', '--pin-file', 'pin']);
    await r.gateway();
    return r;
  }

  pngw(...args) {
    return this.run('pngw', ['--config', 'pngw.conf', ...args]);
  }

  async server() {
    this.spawn('server', path.join(bin, 'cpns-server'), ['run', '--data', 'server', '--listen', `127.0.0.1:${this.serverPort}`, '--daily-claims', '5000']);
    await until('the server', () => answers(this.serverPort));
  }

  async gateway() {
    this.spawn('pngw', path.join(bin, 'pngw'), ['run', '--config', 'pngw.conf']);
    await until('the page', () => answers(this.pagePort));
  }

  // know tells the server of devices, as a factory does.
  know(...ids) {
    let csv = 'entity_id,tk\n';
    for (const id of ids) {
      const tk = randomBytes(16).toString('hex');
      csv += `${id},${tk}\n`;
      this.write(id + '.tk', tk + '\n');
    }
    this.write('tks.csv', csv);
    this.run('cpns-server', ['pne', 'import', '--data', 'server', 'tks.csv']);
  }

  // plug switches a device on.
  plug(id) {
    this.spawn(id, path.join(bin, 'pne'), ['--entity-id', id, '--tk-file', id + '.tk', '--state', id + '.state', '--mqtt', `mqtt://127.0.0.1:${this.brokerPort}`, '--hello-interval', '1s']);
  }

  list() {
    return JSON.parse(this.pngw('list', '--json'));
  }

}
