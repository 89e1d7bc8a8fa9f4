import { h } from 'webpage/dom.js';
import { t, span } from './text.js';
import { state, ask, begin, stretchPIN, watch, changed } from './net.js';

export function loginView() {
  const say = h('p.say', { role: 'alert' });
  const pin = h('input.pin', { id: 'pin', type: 'password', inputmode: 'text', autocomplete: 'current-password', maxLength: 64, 'aria-describedby': 'pinhint', enterkeyhint: 'go' });
  const go = h('button.main', { type: 'submit' }, t('login'));
  let until = 0, ticking;
  const locked = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    go.disabled = left > 0;
    if (left > 0) {
      say.textContent = t('pinWait', { time: span(left) });
      ticking = setTimeout(locked, 1000);
    } else if (until) {
      until = 0;
      say.textContent = '';
    }
  };
  const submit = async (e) => {
    e.preventDefault();
    if (!pin.value || go.disabled) return pin.focus();
    go.disabled = true;
    go.textContent = t('checking');
    say.textContent = '';
    clearTimeout(ticking);
    try {
      if (!state.session?.salt) await begin(); // it may be set meanwhile
      const now = await ask('POST', '/login', { pin: await stretchPIN(pin.value, state.session.salt) });
      state.session = now;
      state.over = false;
      watch();
      changed('session');
      return;
    } catch (e) {
      if (e.body?.salt) state.session = { ...state.session, ...e.body, token: '' };
      if (e.status === 403) say.textContent = t('pinWrong');
      else if (e.status === 429) until = Date.now() + e.body.wait_s * 1000;
      else say.textContent = e.status === 400 ? t('pinNone') : t('error', { why: e.message });
    }
    go.disabled = false;
    go.textContent = t('login');
    pin.value = '';
    pin.setAttribute('aria-invalid', 'true');
    pin.focus();
    if (until) locked();
  };
  const element = h('main.login', {},
    h('img', { src: '/icon.svg', alt: '' }),
    h('h1', {}, t('title', { gw: state.session?.gateway || t('noName') })),
    state.over ? h('p.card.warn', { role: 'status' }, t('over')) : null,
    state.session?.pin === false ? h('p.card.warn', {}, t('pinNone')) :
    h('form', { onsubmit: submit },
      h('label', { for: 'pin' }, t('pin')), pin,
      h('p.dim.small', { id: 'pinhint' }, t('pinHint')), say, go),
    h('p.dim.small.foot', {}, t('caWhy')),
    h('a.button', { href: '/ca.crt', download: 'pngw-ca.crt' }, t('caGet')));
  setTimeout(() => pin.isConnected && pin.focus());
  return { element };
}
