// A stand-in for what LuCI's pages meet on a router: uhttpd, rpcd with its sessions, its
// access control lists and its executable plugins, and uci. It is written anew, in what
// luci-app-pngw needs of them, and does what they were seen to do:
//
//   a call without the right to it is refused with -32002, an argument ubus_rpc_session
//   that a browser sends with -32602, and the plugin gets the session's under that name;
//   the plugin's arguments are JSON on its standard input, and a pipe holds 64 KiB of them;
//   what a session has staged is seen by uci export -t, behind a line "package NAME";
//   uci apply writes the file and has the service reload.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const app = process.env.LUCI_APP;
const kinds = { '.js': 'text/javascript', '.html': 'text/html', '.css': 'text/css' };

export class Router {
  sessions = new Map();
  applied = 0;
  argv = ''; // and environment, of every call

  static async start(rig) {
    const r = new Router();
    r.rig = rig;
    r.acl = JSON.parse(readFileSync(`${app}/root/usr/share/rpcd/acl.d/luci-app-pngw.json`, 'utf8'));
    r.menu = JSON.parse(readFileSync(`${app}/root/usr/share/luci/menu.d/luci-app-pngw.json`, 'utf8'));
    r.bin = path.join(rig.dir, 'router-bin');
    mkdirSync(r.bin);
    writeFileSync(path.join(r.bin, 'uci'), '#!/bin/sh\n# uci -c DIR -t STAGED export NAME\ncat "$STAGED/${4##*/}"\n');
    chmodSync(path.join(r.bin, 'uci'), 0o755);
    r.server = http.createServer((q, a) => r.serve(q, a).catch((e) => { a.statusCode = 500; a.end(String(e.stack)); }));
    await new Promise((f) => r.server.listen(0, '127.0.0.1', f));
    r.url = `http://127.0.0.1:${r.server.address().port}`;
    return r;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((f) => this.server.close(f));
  }

  // login makes a session that has the rights named, such as { 'luci-app-pngw': 'read' }.
  login(rights) {
    const id = randomBytes(16).toString('hex');
    this.sessions.set(id, { rights, staged: null });
    return id;
  }

  async serve(q, a) {
    const url = new URL(q.url, this.url);
    const at = url.pathname;
    const session = /session=([0-9a-f]{32})/.exec(q.headers.cookie ?? '')?.[1];
    if (at === '/ubus') {
      let text = '';
      for await (const part of q) text += part;
      a.setHeader('Content-Type', 'application/json');
      a.end(JSON.stringify(await this.ubus(JSON.parse(text))));
    } else if (at.startsWith('/luci-static/resources/')) {
      this.file(a, `${app}/htdocs${path.posix.normalize(at)}`);
    } else if (at.startsWith('/standin/')) {
      this.file(a, new URL('.' + at.slice('/standin'.length), import.meta.url));
    } else if (at.startsWith('/admin/services/pngw/')) {
      this.page(a, at.slice(1), session, url.searchParams.get('lang') ?? 'en');
    } else {
      a.statusCode = 404;
      a.end();
    }
  }

  file(a, name) {
    try {
      const text = readFileSync(name);
      a.setHeader('Content-Type', kinds[path.extname(String(name))] ?? 'text/plain');
      a.end(text);
    } catch {
      a.statusCode = 404;
      a.end();
    }
  }

  // needs are the groups of rights that a menu entry and those above it depend on.
  needs(name) {
    return Object.keys(this.menu).filter((n) => name === n || name.startsWith(n + '/')).flatMap((n) => this.menu[n].depends?.acl ?? []);
  }

  page(a, name, id, lang) {
    const rights = this.sessions.get(id)?.rights ?? {};
    const entries = Object.keys(this.menu).filter((n) => this.menu[n].action.type === 'view' && this.needs(n).every((g) => rights[g]));
    if (!entries.includes(name)) {
      a.statusCode = 403;
      a.end('Forbidden');
      return;
    }
    const env = {
      session: id, view: this.menu[name].action.path, readonly: !this.needs(name).every((g) => rights[g] === 'write'), name,
      menu: entries.sort((x, y) => this.menu[x].order - this.menu[y].order).map((n) => [n, this.menu[n].title]), words: lang === 'en' ? {} : this.words(lang),
    };
    a.setHeader('Content-Type', 'text/html; charset=utf-8');
    a.end(`<!doctype html><html lang="${lang}"><head><meta name="viewport" content="width=device-width"><title>LuCI</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/standin/luci-runtime.css"></head><body><nav></nav><main id="maincontent"><div id="view">…</div></main>
<script id="env" type="application/json">${JSON.stringify(env).replaceAll('<', '\\u003c')}</script><script src="/standin/luci-runtime.js"></script></body></html>`);
  }

  words(lang) {
    const all = {};
    let id = '';
    for (const line of readFileSync(`${app}/po/${lang}/pngw.po`, 'utf8').split('\n')) {
      if (line.startsWith('msgid ')) id = JSON.parse(line.slice(6));
      if (line.startsWith('msgstr ') && id) all[id] = JSON.parse(line.slice(7));
    }
    return all;
  }

  allowed(session, scope, object, method) {
    return Object.entries(session?.rights ?? {}).some(([group, right]) => ['read', 'write'].slice(0, right === 'write' ? 2 : 1).some((r) => {
      const list = this.acl[group]?.[r]?.[scope];
      return Array.isArray(list) ? list.includes(object) : list?.[object]?.includes(method);
    }));
  }

  async ubus({ id, method, params: [sid, object, name, args] }) {
    const answer = (rest) => ({ jsonrpc: '2.0', id, ...rest });
    const session = this.sessions.get(sid);
    const refused = answer({ error: { code: -32002, message: 'Access denied' } });
    if (method !== 'call' || !session) return refused;
    if ('ubus_rpc_session' in args) return answer({ error: { code: -32602, message: 'Invalid parameters' } });
    if (object === 'uci') {
      const changes = { set: 'write', add: 'write', delete: 'write', apply: 'write' }[name] === 'write';
      const group = Object.keys(session.rights).some((g) => this.acl[g]?.[changes ? 'write' : 'read']?.uci?.includes(args.config ?? 'pngw') && (!changes || session.rights[g] === 'write'));
      return group ? answer({ result: [0, await this.uci(sid, session, name, args)] }) : answer({ result: [6] });
    }
    if (!this.allowed(session, 'ubus', object, name)) return refused;
    return answer({ result: await this.plugin(sid, session, name, args) });
  }

  plugin(sid, session, name, args) {
    const staged = path.join(this.rig.dir, `uci-${sid}`);
    mkdirSync(staged, { recursive: true });
    writeFileSync(path.join(staged, `uci-${sid}`), 'package pngw.conf\n\n' + print(session.staged ?? this.sections()) + '\n');
    const p = spawn(path.join(process.env.BIN, 'pngw'), ['rpcd', '--config', 'pngw.conf', 'call', name], {
      cwd: this.rig.dir, env: { ...process.env, PATH: `${this.bin}:${process.env.PATH}`, STAGED: staged }, stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.argv += readFileSync(`/proc/${p.pid}/cmdline`, 'utf8') + readFileSync(`/proc/${p.pid}/environ`, 'utf8');
    p.stdin.end(JSON.stringify({ ...args, ubus_rpc_session: sid }).slice(0, 64 << 10));
    let out = '';
    p.stdout.on('data', (d) => { out += d; });
    return new Promise((f) => p.on('close', () => {
      try {
        f([0, JSON.parse(out)]);
      } catch {
        f([2]); // as rpcd says of what is no JSON
      }
    }));
  }

  sections() {
    return parse(readFileSync(path.join(this.rig.dir, 'pngw.conf'), 'utf8'));
  }

  async uci(sid, session, name, args) {
    const now = session.staged ?? this.sections();
    switch (name) {
      case 'get': return { values: now };
      case 'set': session.staged = now; Object.assign(now[args.section], args.values); break;
      case 'add': session.staged = now; now[args.name] = { '.name': args.name, '.type': args.type }; break;
      case 'delete':
        session.staged = now;
        if (args.options) args.options.forEach((o) => delete now[args.section][o]);
        else delete now[args.section];
        break;
      case 'apply':
        if (session.staged) {
          this.rig.write('pngw.conf', print(session.staged));
          session.staged = null;
          this.applied++;
          await this.rig.reload();
        }
    }
    return {};
  }
}

const quoted = /^\s*(config|option)\s+(\S+)\s+'([^']*)'/;

function parse(text) {
  const all = {};
  let s;
  for (const line of text.split('\n')) {
    const [, word, name, value] = quoted.exec(line) ?? [];
    if (word === 'config') s = all[value] = { '.name': value, '.type': name };
    else if (word) s[name] = value;
  }
  return all;
}

function print(sections) {
  return Object.values(sections).map((s) => `config ${s['.type']} '${s['.name']}'\n` +
    Object.keys(s).filter((k) => k[0] !== '.').map((k) => `\toption ${k} '${s[k]}'\n`).join('')).join('\n');
}
