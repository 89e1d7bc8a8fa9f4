// A server with its admin API and page, and what there is around it: gateways that want to
// be taken in, users, and many devices. The real cpns-server and pngw.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { answers, bin, freePort, Stage, until } from './stage.mjs';

export const PASSWORD = 'correct horse — Bäckerei';
const roles = ['auditor', 'operator', 'admin'];

export class Fleet extends Stage {
  tokens = {};

  static async start() {
    const f = new Fleet();
    [f.serverPort, f.adminPort] = [await freePort(), await freePort()];
    f.url = `https://127.0.0.1:${f.adminPort}`;
    f.write('password', PASSWORD + '\n');
    f.run('cpns-server', ['init', '--data', 'server', '--host', '127.0.0.1']);
    for (const user of ['alice', 'bob', 'carol']) f.run('cpns-server', ['user', 'add', '--password-file', 'password', '--data', 'server', user]);
    let csv = 'entity_id,tk\n';
    for (let i = 0; i < 5000; i++) csv += `meter-${String(i).padStart(5, '0')},${randomBytes(16).toString('hex')}\n`;
    f.write('tks.csv', csv);
    f.run('cpns-server', ['pne', 'import', '--data', 'server', 'tks.csv']);
    for (const role of roles) {
      f.run('cpns-server', ['token', 'add', '--data', 'server', '--role', role, '--out', role + '.token', 'the-' + role]);
      f.tokens[role] = readFileSync(path.join(f.dir, role + '.token'), 'utf8').trim();
    }
    await f.server();
    return f;
  }

  async server() {
    this.spawn('server', path.join(bin, 'cpns-server'), ['run', '--data', 'server', '--listen', `127.0.0.1:${this.serverPort}`, '--admin-listen', `127.0.0.1:${this.adminPort}`, '--admin-page']);
    await until('the admin API', () => answers(this.adminPort));
  }

  configure(id) {
    return this.write(id + '.conf', `config gateway 'main'
	option id '${id}'
	option root_key '${this.dir}/${id}.root.key'
	option store '${this.dir}/${id}.keys'
	option socket '${this.dir}/${id}.sock'
`);
  }

  // enrol has a gateway ask to be taken in, by a code, and leaves it at that.
  enrol(id, code) {
    this.configure(id);
    this.run('pngw', ['--config', id + '.conf', 'init']);
    this.spawn(id, path.join(bin, 'pngw'), ['--config', id + '.conf', 'enrol', code]);
  }

  // knock has gateways ask that nobody knows, and gives the fingerprints that they show.
  async knock(ids) {
    const code = this.run('cpns-server', ['gateway', 'invite', '--data', 'server', '--introduce', '--server', `127.0.0.1:${this.serverPort}`]).trim();
    const prints = {};
    for (const id of ids) this.enrol(id, code);
    for (const id of ids) prints[id] = await until('the fingerprint of ' + id, () => /fingerprint +([A-Z2-7-]{30,})/.exec(this.log(id))?.[1]);
    return prints;
  }

  // served waits until a gateway has heard that it is taken in.
  served(id) {
    return until(id + ' to be enrolled', () => /enrolled: this gateway is called/.test(this.log(id)), 60000);
  }
}
