// The way to the server: the admin API, of which this page is one caller.
import { t } from './text.js';

export const state = {
  me: null, // who is logged in: {name, kind, role, version}
  online: true,
  over: false, // somebody was logged in, and is not any more
};

const listeners = new Set();
export const onChange = (f) => listeners.add(f);
const changed = (what) => listeners.forEach((f) => f(what));

// The token is kept by the tab, so that a reload needs no login, and by nothing else.
// There is no cookie: a page elsewhere has nothing that the browser would send along.
const kept = 'cpns-token';
let token = '';
try {
  token = sessionStorage.getItem(kept) || '';
} catch {
  // a browser that keeps nothing
}
function keep(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem(kept, value);
    else sessionStorage.removeItem(kept);
  } catch {
    // as above
  }
}

// Refused is an answer that says no; its message is the server's.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || 'HTTP ' + status);
    this.status = status;
    this.problem = problem;
  }
}

// Browsers take "." and ".." in an address for steps up and down, however they are written:
// what was meant for a device of that name would be done to another.
const steps = /(^|\/)\.\.?($|[/?])/;

async function once(method, path, body, key) {
  if (steps.test(path)) throw new Refused(0, { detail: t('noAddress') });
  const options = { method, headers: {}, cache: 'no-store', credentials: 'same-origin', redirect: 'error' };
  if (AbortSignal.timeout) options.signal = AbortSignal.timeout(90000);
  if (token) options.headers.Authorization = 'Bearer ' + token;
  if (key) options.headers['Idempotency-Key'] = key;
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  let answer, value;
  try {
    answer = await fetch('/admin/v1' + path, options);
    value = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  } catch (e) {
    online(false);
    throw e;
  }
  online(true);
  if (!answer.ok) {
    if (answer.status === 401 && state.me) leave(true);
    throw new Refused(answer.status, value);
  }
  return value;
}

function online(is) {
  if (state.online === is) return;
  state.online = is;
  changed('online');
}

// read asks for something.
export const read = (path) => once('GET', path);

const pause = (ms) => new Promise((f) => setTimeout(f, ms));

// write has something done. Where no answer comes it asks again under the same key, by
// which the server knows that it is the same: it is done once. One that takes no key is
// asked for once, unless keyed is false: doing that twice is doing it once.
export async function write(method, path, body, { again = true, keyed = again } = {}) {
  const key = keyed ? [...crypto.getRandomValues(new Uint8Array(16))].map((x) => x.toString(16).padStart(2, '0')).join('') : '';
  for (let tries = 1, wait = 500; ; tries++, wait *= 2) {
    try {
      return await once(method, path, body, key);
    } catch (e) {
      const passes = !(e instanceof Refused) || e.status === 503 || e.status === 429;
      if (!passes || !again || tries === 5) throw e;
      await pause(wait);
    }
  }
}

// begin finds out who this is: by the token of the tab, or the browser's certificate.
export async function begin() {
  try {
    state.me = await read('/whoami');
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
    keep('');
    state.me = null;
  }
  changed('session');
}

// login tries a token.
export async function login(value) {
  keep(value);
  try {
    state.me = await read('/whoami');
  } catch (e) {
    keep('');
    throw e;
  }
  state.over = false;
  changed('session');
}

// leave forgets the token. over says that it was not the person's wish.
export function leave(over) {
  keep('');
  state.over = over && !!state.me;
  state.me = null;
  changed('session');
}

// A page that is left open logs out.
const idle = 30 * 60 * 1000;
let touched = Date.now();
for (const what of ['click', 'keydown']) document.addEventListener(what, () => { touched = Date.now(); });
setInterval(() => { if (state.me && Date.now() - touched > idle) leave(true); }, 15000);

const ranks = ['auditor', 'operator', 'admin'];
// may says whether who is logged in may do what takes that role.
export const may = (role) => ranks.indexOf(state.me?.role) >= ranks.indexOf(role);
