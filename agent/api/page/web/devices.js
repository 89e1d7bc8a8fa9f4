// The list of devices, which may be a thousand.
import { h, fill } from 'webpage/dom.js';
import { t, told, when } from './text.js';
import { state, list } from './net.js';
import { take } from './take.js';

const states = ['requested', 'assigned', 'delivered', 'used_up', 'alarm'];
const looks = { requested: 'warn', assigned: 'warn', delivered: 'good', used_up: 'warn', alarm: 'bad' };
const portion = 60;
let wanted = '', only = '';

export function devicesView() {
  let shown = portion;
  const count = h('p.dim', { role: 'status' }), rows = h('div', { id: 'rows' }), chips = h('div.chips', { role: 'group', 'aria-label': t('state') });
  const more = h('button', { onclick: () => { shown += 10 * portion; update(); } });
  const search = h('input', { id: 'search', type: 'search', value: wanted, placeholder: t('searchHint'), autocapitalize: 'off', spellcheck: 'false', oninput: () => { wanted = search.value; shown = portion; update(); } });
  list(true);

  const update = (what) => {
    if (!state.pnes || what === 'jobs') return;
    const text = wanted.trim().toLowerCase();
    const fits = state.pnes.filter((p) => (!only || p.state === only) && (!text || (p.entity_id + '\n' + p.user + '\n' + p.link).toLowerCase().includes(text)));
    fits.sort((a, b) => (b.state === 'alarm') - (a.state === 'alarm'));
    count.textContent = !state.pnes.length ? t('noDevices') : !fits.length ? t('noneFit') : t('count', { n: fits.length, all: state.pnes.length });
    fill(rows, fits.slice(0, shown), (p) => p.entity_id, row);
    more.hidden = fits.length <= shown;
    more.textContent = t('moreRows', { n: Math.min(10 * portion, fits.length - shown) });
    const n = (s) => state.pnes.filter((p) => p.state === s).length;
    fill(chips, [['', state.pnes.length, !only], ...states.filter((s) => n(s) || only === s).map((s) => [s, n(s), only === s])], (c) => c[0], ([s, k, on]) =>
      h('button', { 'aria-pressed': String(on), 'data-name': 'chip', onclick: () => { only = s; shown = portion; update(); } }, `${t(s ? 's_' + s : 'f_all')} ${k}`));
  };

  const row = (p) => h('details.card.device', {}, h('summary', {}, h('h2', {}, p.entity_id), h('span.tag.' + looks[p.state], {}, t('s_' + p.state))),
    h('dl', {},
      h('dt', {}, t('owner')), h('dd', {}, p.user),
      p.index ? [h('dt', {}, t('key')), h('dd', {}, t('keyOf', p))] : null,
      h('dt', {}, t('link')), h('dd', {}, p.link || '–'),
      h('dt', {}, t('seen')), h('dd', {}, when(p.last_seen)),
      p.note ? [h('dt', {}, t('note')), h('dd', { lang: told(p.note).lang }, told(p.note).text)] : null),
    h('div.buttons', {}, h('button', { 'data-name': 'renew', onclick: () => take({ entities: [p.entity_id], fixed: true, user: p.user, reassign: p.state === 'alarm' }) }, t('renew'))), h('p'));

  return { element: h('div', {}, h('h1', { tabindex: '-1' }, t('devices')), h('label', { for: 'search' }, t('search')), search, chips, count, rows, more), update };
}
