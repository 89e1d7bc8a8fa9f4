import { h } from 'webpage/dom.js';
import { t } from './text.js';
import { login, Refused, state } from './net.js';

export function loginView() {
  const say = h('p.say', { role: 'alert' });
  const token = h('input', { id: 'token', type: 'password', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', maxLength: 256, 'aria-describedby': 'tokenhint' });
  const go = h('button.main', { type: 'submit' }, t('login'));
  const submit = async (e) => {
    e.preventDefault();
    if (!token.value.trim() || go.disabled) return token.focus();
    go.disabled = true;
    say.textContent = '';
    try {
      return await login(token.value.trim());
    } catch (e) {
      say.textContent = e instanceof Refused && e.status === 401 ? t('tokenWrong') : e instanceof Refused ? t('error', { why: e.message }) : t('offlineLong');
    }
    go.disabled = false;
    token.value = '';
    token.setAttribute('aria-invalid', 'true');
    token.focus();
  };
  const element = h('main.login', {},
    h('img', { src: '/icon.svg', alt: '' }),
    h('h1', {}, t('title')),
    state.over ? h('p.card.warn', { role: 'status' }, t('over')) : null,
    h('form', { onsubmit: submit }, h('label', { for: 'token' }, t('token')), token, h('p.dim.small', { id: 'tokenhint' }, t('tokenHint')), say, go));
  setTimeout(() => token.isConnected && token.focus());
  return { element };
}
