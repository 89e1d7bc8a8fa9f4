// How the server is, who may use this page, and how it looks.
import { h, fill } from 'webpage/dom.js';
import { choices } from 'webpage/look.js';
import { sentence, t, when } from './text.js';
import { leave, may, read, state, write } from './net.js';
import { act, enc, facts, form, listing, noteLine, why } from './parts.js';
import { draw } from './app.js';

export function moreView() {
  const note = noteLine(), health = h('ul.list');
  const load = async () => {
    try {
      const now = await read('/health');
      fill(health, now.checks, (c) => c.name, (c) => h('li.card', {}, h('div.row', {}, h('h3', {}, t('check_' + c.name)), h('span.tag.' + { good: 'good', warning: 'warn', bad: 'bad' }[c.state], {}, t('health_' + c.state))), h('p.small', { lang: 'en' }, sentence(c.detail))));
    } catch (e) {
      health.replaceChildren(h('li.card.bad', {}, t('error', { why: why(e) })));
    }
  };
  load();
  const timer = setInterval(load, 15000);
  return {
    element: h('div', {}, h('h1', { tabindex: '-1' }, t('more')), note, h('h2', {}, t('health')), health,
      may('admin') ? tokens(note) : null,
      h('h2', {}, t('thisPage')), h('section.card', {}, facts([['called', state.me.name], ['kind', t('kind_' + state.me.kind)], ['role', t('role_' + state.me.role)], ['version', state.me.version]])),
      choices(draw), h('div.buttons', {}, state.me.kind === 'token' ? h('button', { onclick: () => leave() }, t('logout')) : null)),
    stop: () => clearInterval(timer),
  };
}

const days = [['86400', 'day1'], ['2592000', 'day30'], ['7776000', 'day90'], ['31536000', 'day365']];

function tokens(note) {
  const all = listing({
    path: '/tokens', key: (c) => c.id, none: 'tokensNone',
    row: (c) => h('details.card.device', {}, h('summary', {}, h('h3', {}, c.name), h('span.tag', {}, t('role_' + c.role))),
      facts([['kind', t('kind_' + c.kind)], ['added', when(c.created)], ['until', when(c.ends)], ['used', c.last_used ? when(c.last_used) : t('notSeen')]]),
      h('div.buttons', {}, h('button', { 'data-name': 'remove', onclick: async () => { if (await act(note, { ask: t('tokenRemove', { id: c.name }), what: t('tokenRemoveWhat'), yes: t('remove'), danger: true, does: () => write('DELETE', '/tokens/' + enc(c.name)), done: t('removed', { id: c.name }) })) all.reload(); } }, t('remove'))), h('p')),
  });
  const add = () => form(t('tokenNew'), [
    { id: 'name', label: t('called'), needed: true, hint: t('tokenName') },
    { id: 'role', label: t('role'), value: 'auditor', options: ['auditor', 'operator', 'admin'].map((r) => [r, t('role_' + r)]) },
    { id: 'valid', label: t('codeValid'), value: '7776000', options: days.map(([v, n]) => [v, t(n)]) },
  ], t('tokenMake'), async ({ name, role, valid }) => {
    const got = await write('POST', '/tokens', { name, role, valid_seconds: Number(valid) }, { again: false });
    all.reload();
    return h('div', {}, h('p', {}, t('tokenOnce')), h('p.mono', { id: 'made' }, got.token));
  });
  all.reload();
  return [h('h2', {}, t('tokens')), h('div.buttons', {}, h('button', { onclick: add }, t('tokenNew'))), all.element];
}
