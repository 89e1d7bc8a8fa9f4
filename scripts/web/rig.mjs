// A gateway with its page, as it is in the field: the real pngw, a real cpns-server, a
// real broker and real devices, all on this machine's loopback.
import { spawn, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync, rmSync, existsSync, readFileSync, openSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const PIN = '483920', USER = 'alice', PASSWORD = 'correct horse — Bäckerei';
const bin = process.env.BIN;

const freePort = () => new Promise((found) => {
  const s = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = s.address();
    s.close(() => found(port));
  });
});

// until waits for what is going to be true; what it is comes in the error.
export async function until(what, f, ms = 15000) {
  for (const end = Date.now() + ms; ; await new Promise((r) => setTimeout(r, 50))) {
    const v = await f();
    if (v) return v;
    if (Date.now() > end) throw new Error('waited in vain for ' + what);
  }
}

const answers = (port) => new Promise((f) => {
  const s = net.connect(port, '127.0.0.1', () => { s.destroy(); f(true); }).on('error', () => f(false));
});

export class Rig {
  children = new Map();

  static async start() {
    const r = new Rig();
    r.dir = mkdtempSync(path.join(tmpdir(), 'pngw-web-'));
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

  write(name, text) {
    writeFileSync(path.join(this.dir, name), text, { mode: 0o600 });
    return path.join(this.dir, name);
  }

  run(program, args) {
    return execFileSync(path.join(bin, program), args, { cwd: this.dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60000 });
  }

  pngw(...args) {
    return this.run('pngw', ['--config', 'pngw.conf', ...args]);
  }

  spawn(name, program, args) {
    const log = openSync(path.join(this.dir, name + '.log'), 'a', 0o600);
    const c = spawn(program, args, { cwd: this.dir, stdio: ['ignore', log, log] });
    c.over = new Promise((f) => c.on('exit', (code, signal) => f(code ?? signal)));
    this.children.set(name, c);
    return c;
  }

  log(name) {
    return readFileSync(path.join(this.dir, name + '.log'), 'utf8');
  }

  async end(name, signal = 'SIGTERM') {
    const c = this.children.get(name);
    if (!c) return;
    this.children.delete(name);
    c.kill(signal);
    await c.over;
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

  async stop() {
    for (const name of [...this.children.keys()].reverse()) await this.end(name);
    if (process.env.KEEP) console.log('kept', this.dir);
    else rmSync(this.dir, { recursive: true, force: true });
  }
}
