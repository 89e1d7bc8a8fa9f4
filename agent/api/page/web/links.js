// The ways to devices and to the server, and how they are.
import { h, fill } from 'webpage/dom.js';
import { t, told, when } from './text.js';
import { state } from './net.js';

export function linksView() {
  const rows = h('ul.list'), facts = h('dl');
  const update = () => {
    const g = state.gateway;
    if (!g) return;
    fill(rows, g.links, (l) => l.name, (l) => h('li.card', {}, h('div.row', {}, h('div', {}, h('h2', {}, `${l.name} (${l.type})`)), h('span.tag.' + (l.state === 'up' ? 'good' : 'bad'), {}, t(l.state))),
      h('p.small.wrap', { lang: told(l.detail).lang }, told(l.detail).text), h('p.dim.small', {}, t('counters', l))));
    const psk = g.psk1 || {};
    fill(facts, [
      ['gateway', g.gateway || t('noName')], ['server', g.server || t('none')],
      ['psk', psk.waiting ? psk.waiting : psk.until && psk.until.startsWith('2') ? t('pskGood', { until: when(psk.until) }) : psk.source === 'file' ? t('pskFile') : t('yes')],
      ['clock', t(g.clock_set ? 'clockSet' : 'clockNot')], ['version', g.version], ['ca', g.page?.ca_fingerprint || ''],
    ].flatMap(([k, v]) => [[k, 'dt', t(k)], [k, 'dd', v]]), (x) => x[0] + x[1], ([, e, v]) => h(e, {}, v));
  };
  return { element: h('div', {}, h('h1', { tabindex: '-1' }, t('links')), rows, h('h2', {}, t('gateway')), h('section.card', {}, facts)), update };
}
