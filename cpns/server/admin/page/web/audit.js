// The audit log, with filters.
import { h } from 'webpage/dom.js';
import { t, when } from './text.js';
import { facts, listing, soon } from './parts.js';

const spans = [['3600', 'hour1'], ['86400', 'day1'], ['604800', 'day7'], ['2592000', 'day30'], ['', 'ever']];

export function auditView(given) {
  const again = soon(() => all.reload());
  const field = (id) => h('input', { id, type: 'search', value: given[id] || '', autocapitalize: 'off', spellcheck: 'false', oninput: again });
  const user = field('user'), pne = field('pne'), gateway = field('gateway');
  const one = given.user || given.pne || given.gateway; // of one it is all that is of interest
  const since = h('select', { id: 'since', onchange: () => all.reload() }, spans.map(([v, n]) => h('option', { value: v, selected: v === (one ? '' : '86400') }, t(n))));
  const all = listing({
    path: '/audit', key: (e) => e.seq, none: 'auditNone',
    params: () => ({ user: user.value.trim(), pne: pne.value.trim(), gateway: gateway.value.trim(), since: since.value && new Date(Date.now() - since.value * 1000).toISOString().replace(/\.\d+/, '') }),
    row: (e) => h('section.card', {}, h('div.row', {}, h('h2', {}, e.event), h('span.dim.small', {}, when(e.time))),
      facts([['user', e.user], ['device', e.entity_id], ['gateway', e.gateway], ['epoch', e.epoch || ''], ['source', e.source], ['detail', e.detail && h('span', { lang: 'en' }, e.detail)]])),
  });
  all.reload();
  return {
    element: h('div', {}, h('h1', { tabindex: '-1' }, t('audit')),
      h('div.fields', {}, h('div', {}, h('label', { for: 'user' }, t('user')), user), h('div', {}, h('label', { for: 'pne' }, t('device')), pne),
        h('div', {}, h('label', { for: 'gateway' }, t('gateway')), gateway), h('div', {}, h('label', { for: 'since' }, t('since')), since)), all.element),
  };
}
