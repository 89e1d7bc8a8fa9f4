// Devices, of which there may be a million: found by what their IDs begin with, their
// owner, their gateway or their state.
import { h } from 'webpage/dom.js';
import { t, when } from './text.js';
import { may, write } from './net.js';
import { act, enc, facts, form, listing, noteLine, soon } from './parts.js';

const looks = { free: '', owned: 'warn', assigned: 'good' };

export function devicesView(given) {
  const note = noteLine();
  const again = soon(() => all.reload());
  const field = (id, value) => h('input', { id, type: 'search', value: value || '', autocapitalize: 'off', spellcheck: 'false', oninput: again });
  const prefix = field('prefix', given.prefix), owner = field('owner', given.owner), gateway = field('gateway', given.gateway);
  const stateOf = h('select', { id: 'state', onchange: () => all.reload() }, [['', t('any')], ...Object.keys(looks).map((s) => [s, t('pne_' + s)])].map(([v, name]) => h('option', { value: v, selected: v === (given.state || '') }, name)));

  const all = listing({
    path: '/pnes', params: () => ({ prefix: prefix.value.trim(), owner: owner.value.trim(), gateway: gateway.value.trim(), state: stateOf.value }), key: (p) => p.entity_id, none: 'devicesNone',
    row: (p) => h('details.card.device', {}, h('summary', {}, h('h2', {}, p.entity_id), h('span.tag' + (looks[p.state] ? '.' + looks[p.state] : ''), {}, t('pne_' + p.state))),
      facts([['owner', p.owner || t('nobody')], ['epoch', p.epoch || ''], ['gateway', p.gateway], ['assigned', p.assigned && when(p.assigned)], ['added', when(p.created)]]),
      h('div.buttons', {}, h('a.button', { href: '#/audit?pne=' + enc(p.entity_id) }, t('audit')), may('operator') ? [
        p.owner ? h('button', { 'data-name': 'release', onclick: async () => { if (await act(note, { ask: t('release', { id: p.entity_id }), what: t('releaseWhat', { owner: p.owner }), yes: t('releaseYes'), danger: true, does: () => write('DELETE', `/pnes/${enc(p.entity_id)}/owner`), done: t('released', { id: p.entity_id }) })) all.reload(); } }, t('releaseYes')) : null,
        h('button', { 'data-name': 'give', onclick: () => give(p) }, t('give')),
        h('button', { 'data-name': 'remove', onclick: async () => { if (await act(note, { ask: t('pneRemove', { id: p.entity_id }), what: t('pneRemoveWhat'), yes: t('remove'), danger: true, does: () => write('DELETE', '/pnes/' + enc(p.entity_id)), done: t('removed', { id: p.entity_id }) })) all.reload(); } }, t('remove')),
      ] : null), h('p')),
  });
  const give = (p) => form(t('giveTitle', { id: p.entity_id }), [{ id: 'to', label: t('owner'), value: p.owner, needed: true, hint: t('giveHint') }], t('give'), async ({ to }) => {
    await write('PUT', `/pnes/${enc(p.entity_id)}/owner`, { owner: to });
    note.className = 'card';
    note.textContent = t('given', { id: p.entity_id, owner: to });
    note.hidden = false;
    all.reload();
  });
  all.reload();
  return {
    element: h('div', {}, h('h1', { tabindex: '-1' }, t('devices')), note,
      h('div.fields', {}, h('div', {}, h('label', { for: 'prefix' }, t('startsWith')), prefix), h('div', {}, h('label', { for: 'owner' }, t('owner')), owner),
        h('div', {}, h('label', { for: 'gateway' }, t('gateway')), gateway), h('div', {}, h('label', { for: 'state' }, t('state')), stateOf)),
      may('operator') ? h('div.buttons', {}, h('a.button', { href: '#/import' }, t('importTitle'))) : null, all.element),
  };
}
