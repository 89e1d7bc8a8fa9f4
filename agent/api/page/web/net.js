// The way to the gateway: requests, the stream of what happens, and what is computed of
// PIN and password before they are sent.

export const state = {
  session: null, // {gateway, pin, salt, token}
  gateway: null, // the latest snapshot
  jobs: new Map(), // id to {id, user, total, ended, items}
  pnes: null, // the list of devices
  online: true,
  over: false, // somebody was logged in, and is not any more
  who: null, // {user, hash}: the user whose devices are taken in, until the page is left
};

const listeners = new Set();
export const onChange = (f) => listeners.add(f);
export const changed = (what) => listeners.forEach((f) => f(what));

// Refused is an answer that says no.
export class Refused extends Error {
  constructor(status, body) {
    super(body.error || 'HTTP ' + status);
    this.status = status;
    this.body = body;
  }
}

export async function ask(method, path, body) {
  const options = { method, headers: {}, cache: 'no-store', credentials: 'same-origin', signal: AbortSignal.timeout ? AbortSignal.timeout(30000) : undefined };
  if (state.session?.token) options.headers['X-Token'] = state.session.token;
  if (body) {
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  const value = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) {
    if (answer.status === 401) leave();
    throw new Refused(answer.status, value);
  }
  return value;
}

// insist asks again until there is an answer, whatever it is: what is asked may be asked twice.
export async function insist(method, path, body) {
  for (let wait = 1000; ; wait = Math.min(2 * wait, 8000)) {
    try {
      return await ask(method, path, body);
    } catch (e) {
      if (e instanceof Refused) throw e;
      lost();
      await new Promise((f) => setTimeout(f, wait));
    }
  }
}

// begin finds out whether somebody is logged in.
export async function begin() {
  state.session = await ask('GET', '/session');
  if (state.session.token) watch();
  changed('session');
}

// leave is the end of a session that was there.
export function leave() {
  if (state.session?.token) {
    state.session = { ...state.session, token: '' };
    state.over = true;
  }
  unwatch();
  state.who = null;
  begin().catch(() => changed('session'));
}

let source, silence, again, wait = 1000;

function unwatch() {
  source?.close();
  source = null;
  clearTimeout(silence);
  clearTimeout(again);
}

// watch hears what happens. A phone that slept has an old connection that nobody tells
// it of: where nothing comes for longer than the gateway is silent, it connects anew.
export function watch() {
  unwatch();
  const s = new EventSource('/v1/watch');
  source = s;
  const heard = () => {
    wait = 1000;
    clearTimeout(silence);
    silence = setTimeout(retry, 40000);
    if (!state.online) {
      state.online = true;
      changed('online');
    }
  };
  heard.first = true;
  silence = setTimeout(retry, 15000);
  s.onerror = retry;
  s.addEventListener('beat', heard);
  s.addEventListener('over', leave);
  s.addEventListener('job', (e) => {
    heard();
    const j = JSON.parse(e.data);
    const old = state.jobs.get(j.id);
    const items = j.first || !old ? [] : old.items;
    for (const it of j.items) items[it.at] = it;
    state.jobs.set(j.id, { id: j.id, n: j.n, user: j.user, total: j.total, ended: j.ended, items });
    changed('jobs');
  });
  s.addEventListener('gateway', (e) => {
    heard();
    const before = events();
    state.gateway = JSON.parse(e.data);
    for (const id of state.jobs.keys()) if (!state.gateway.jobs.includes(id)) state.jobs.delete(id);
    if (!state.pnes || events() !== before) list();
    changed('gateway');
  });
}

const events = () => state.gateway && Object.values(state.gateway.events).join() + Object.values(state.gateway.pnes).join();

function lost() {
  if (state.online) {
    state.online = false;
    changed('online');
  }
}

function retry() {
  unwatch();
  if (!state.session?.token) return;
  lost();
  again = setTimeout(async () => {
    try {
      const now = await ask('GET', '/session');
      if (now.token) {
        state.session = now;
        watch();
      } else leave();
    } catch {
      retry();
    }
  }, wait);
  wait = Math.min(2 * wait, 8000);
}

for (const [on, what] of [[document, 'visibilitychange'], [window, 'online'], [window, 'pageshow']])
  on.addEventListener(what, () => {
    if (document.visibilityState === 'visible' && state.session?.token && !state.online) {
      wait = 500;
      retry();
    }
  });
window.addEventListener('offline', lost);

// list fetches the devices, at most every other second.
let listing, fetched = 0;
export function list(now) {
  clearTimeout(listing);
  listing = setTimeout(async () => {
    fetched = Date.now();
    try {
      state.pnes = await ask('GET', '/v1/pnes');
      changed('pnes');
    } catch {
      // the stream says what there is to say
    }
  }, now ? 0 : Math.max(0, 2000 - (Date.now() - fetched)));
}

// touch keeps the session for who does something.
let touched = Date.now();
for (const what of ['click', 'keydown'])
  document.addEventListener(what, () => {
    if (state.session?.token && Date.now() - touched > 60000) {
      touched = Date.now();
      ask('GET', '/session').then((now) => now.token || leave(), () => {});
    }
  });

const utf8 = (s) => new TextEncoder().encode(s);
const hex = (b) => [...b].map((x) => x.toString(16).padStart(2, '0')).join('');
const bytes = (s) => Uint8Array.from(s.match(/../g) || [], (x) => parseInt(x, 16));

async function stretch(text, salt) {
  const { argon2 } = await import('/argon2.js');
  return hex(await argon2(utf8(text), salt));
}

export const stretchPIN = (pin, salt) => stretch(pin, bytes(salt));

// hashPassword is Hash(Password): the password itself stays here.
export async function hashPassword(user, password) {
  const id = utf8('CPNS User\0' + user);
  const salt = new Uint8Array(await crypto.subtle.digest('SHA-256', id)).slice(0, 16);
  return stretch(password, salt);
}

export const draw = () => hex(crypto.getRandomValues(new Uint8Array(16)));
