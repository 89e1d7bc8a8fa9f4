// CPNS Users, and their locks.
import { h } from 'webpage/dom.js';
import { t, when } from './text.js';
import { may, write } from './net.js';
import { act, enc, facts, form, listing, noteLine, soon } from './parts.js';

const looks = { enabled: 'good', locked: 'warn', disabled: 'bad' };

export function usersView() {
  const note = noteLine();
  const prefix = h('input', { id: 'prefix', type: 'search', autocapitalize: 'off', spellcheck: 'false', oninput: soon(() => all.reload()) });
  const stateOf = h('select', { id: 'state', onchange: () => all.reload() }, [['', t('any')], ...Object.keys(looks).map((s) => [s, t('user_' + s)])].map(([v, name]) => h('option', { value: v }, name)));
  const does = (u, what, name, question) => h('button', { 'data-name': name, onclick: async () => { if (await act(note, { ask: question && t(name + 'Q', { id: u.user }), what: question && t(name + 'What'), yes: t(name), danger: question, does: what, done: t(name + 'Done', { id: u.user }) })) all.reload(); } }, t(name));
  const all = listing({
    path: '/users', params: () => ({ prefix: prefix.value.trim(), state: stateOf.value }), key: (u) => u.user, none: 'usersNone',
    row: (u) => h('details.card.device', {}, h('summary', {}, h('h2', {}, u.user), h('span.tag.' + looks[u.state], {}, t('user_' + u.state))),
      facts([['added', when(u.created)], ['seen', u.last_seen ? when(u.last_seen) : t('notSeen')], ['locks', u.locks.map((l) => t('lockAt', { gateway: l.gateway, until: when(l.until) })).join('; ')], ['slowed', u.slowed ? t('slowedWhat') : '']]),
      h('div.buttons', {}, h('a.button', { href: '#/devices?owner=' + enc(u.user) }, t('itsDevices')), h('a.button', { href: '#/audit?user=' + enc(u.user) }, t('audit')), may('operator') ? [
        u.locks.length || u.slowed ? does(u, () => write('POST', `/users/${enc(u.user)}/unlock`), 'unlock') : null,
        u.state === 'disabled' ? does(u, () => write('POST', `/users/${enc(u.user)}/enable`), 'enable') : does(u, () => write('POST', `/users/${enc(u.user)}/disable`), 'disable', true),
        h('button', { 'data-name': 'password', onclick: () => password(u.user) }, t('passwordNew')),
        does(u, () => write('DELETE', '/users/' + enc(u.user)), 'userRemove', true),
      ] : null), h('p')),
  });
  const told = (text) => {
    note.className = 'card';
    note.textContent = text;
    note.hidden = false;
    all.reload();
  };
  const password = (user) => form(t('passwordTitle', { id: user }), [{ id: 'password', type: 'password', label: t('password'), needed: true }], t('passwordNew'), async (v) => {
    await write('PUT', `/users/${enc(user)}/password`, { password: v.password });
    told(t('passwordDone', { id: user }));
  });
  const add = () => form(t('userAdd'), [{ id: 'user', label: t('userID'), needed: true }, { id: 'password', type: 'password', label: t('password'), needed: true }], t('userAdd'), async (v) => {
    await write('POST', '/users', { user: v.user, password: v.password });
    told(t('userAdded', { id: v.user }));
  });
  all.reload();
  return {
    element: h('div', {}, h('h1', { tabindex: '-1' }, t('users')), note, may('operator') ? h('button.main', { onclick: add }, t('userAdd')) : null,
      h('div.fields', {}, h('div', {}, h('label', { for: 'prefix' }, t('startsWith')), prefix), h('div', {}, h('label', { for: 'state' }, t('state')), stateOf)), all.element),
  };
}
