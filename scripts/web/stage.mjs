// A folder of this machine's loopback where real programs run for a test.
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync, rmSync, readFileSync, openSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const bin = process.env.BIN;

export const freePort = () => new Promise((found) => {
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

export const answers = (port) => new Promise((f) => {
  const s = net.connect(port, '127.0.0.1', () => { s.destroy(); f(true); }).on('error', () => f(false));
});

export class Stage {
  children = new Map();

  constructor() {
    this.dir = mkdtempSync(path.join(tmpdir(), 'pngw-web-'));
  }

  write(name, text) {
    writeFileSync(path.join(this.dir, name), text, { mode: 0o600 });
    return path.join(this.dir, name);
  }

  run(program, args) {
    return execFileSync(path.join(bin, program), args, { cwd: this.dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60000 });
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

  async stop() {
    for (const name of [...this.children.keys()].reverse()) await this.end(name);
    if (process.env.KEEP) console.log('kept', this.dir);
    else rmSync(this.dir, { recursive: true, force: true });
  }
}
