// Gateways: those that wait for a person first, then those that are known.
import { h, fill } from 'webpage/dom.js';
import { confirmed } from 'webpage/dialog.js';
import { t, when } from './text.js';
import { may, read, write } from './net.js';
import { act, enc, facts, form, listing, noteLine, soon, why } from './parts.js';

export function gatewaysView() {
  const note = noteLine(), waiting = h('ul.list'), none = h('p.dim', {}, t('pendingNone')), chosen = new Set();
  const many = h('button.main', { hidden: true });
  let pending = [];

  const showPending = () => {
    for (const f of chosen) if (!pending.some((p) => p.fingerprint === f)) chosen.delete(f);
    none.hidden = pending.length > 0;
    fill(waiting, pending.map((p) => ({ ...p, chosen: chosen.has(p.fingerprint) })), (p) => p.fingerprint, pendingCard);
    many.hidden = !chosen.size;
    many.textContent = t('approveMany', { n: chosen.size });
  };
  const loadPending = async () => {
    try {
      pending = (await read('/enrolments?limit=1000')).items;
    } catch (e) {
      none.textContent = t('error', { why: why(e) });
    }
    showPending();
  };

  const approve = (p) => form(t('approveTitle', { f: p.fingerprint }), [
    { id: 'gateway', label: t('gatewayID'), value: p.gateway, hint: p.gateway ? t('wants', { id: p.gateway }) : t('wantsNothing'), needed: !p.gateway },
    ...(p.conflicts.length ? [{ id: 'replace', type: 'checkbox', label: t('replace'), hint: p.conflicts.map((c) => c.reason).join('; ') }] : []),
  ], t('approve'), async ({ gateway, replace }) => {
    const body = { fingerprint: p.fingerprint };
    if (gateway && gateway !== p.gateway) body.gateway = gateway;
    if (replace) body.replace = true;
    const got = await write('POST', '/enrolments/approve', body);
    note.className = 'card';
    note.textContent = t('approved', { id: got.gateway });
    note.hidden = false;
    loadPending();
    known.reload();
  });

  const approveMany = async () => {
    const all = pending.filter((p) => chosen.has(p.fingerprint));
    if (!(await confirmed(t('approveMany', { n: all.length }), [t('approveManyWhat'), all.map((p) => h('span.block', {}, h('b', {}, p.gateway), ' ', h('span.mono', {}, p.fingerprint)))], t('approve')))) return;
    let good = 0;
    const bad = [];
    for (const p of all) {
      many.textContent = t('approving', { n: good + bad.length + 1, all: all.length });
      try {
        await write('POST', '/enrolments/approve', { fingerprint: p.fingerprint });
        chosen.delete(p.fingerprint);
        good++;
      } catch (e) {
        bad.push(`${p.gateway || p.fingerprint}: ${why(e)}`);
      }
    }
    note.className = bad.length ? 'card bad' : 'card';
    note.textContent = [t('approvedMany', { n: good, all: all.length }), ...bad].join(' – ');
    note.hidden = false;
    loadPending();
    known.reload();
  };
  many.addEventListener('click', approveMany);

  const pendingCard = (p) => h('li.card' + (p.conflicts.length ? '.warn' : ''), {}, h('div.row.top', {},
    may('operator') && p.gateway && !p.conflicts.length ? h('input', { type: 'checkbox', checked: p.chosen, 'aria-label': t('select', { id: p.gateway }), 'data-name': 'check', onchange: (e) => { e.target.checked ? chosen.add(p.fingerprint) : chosen.delete(p.fingerprint); showPending(); } }) : null,
    h('div', {}, h('h3', {}, p.gateway || t('unnamed')), h('p.mono.fingerprint', {}, p.fingerprint),
      facts([['model', p.model], ['serial', p.serial], ['macs', p.macs.join(', ')], ['from', p.from.replace(/\/(32|128)$/, '')], ['code', p.invitation], ['was', p.was], ['asked', when(p.last)]]),
      p.conflicts.map((c) => h('p', {}, c.reason)))),
  may('operator') ? h('div.buttons', {}, h('button', { 'data-name': 'approve', 'aria-label': t('approve') + ' ' + (p.gateway || p.fingerprint), onclick: () => approve(p) }, t('approve')),
    h('button', { 'data-name': 'refuse', 'aria-label': t('refuse') + ' ' + (p.gateway || p.fingerprint), onclick: async () => { if (await act(note, { ask: t('refuse'), what: t('refuseWhat', { f: p.fingerprint }), does: () => write('POST', '/enrolments/refuse', { fingerprint: p.fingerprint }), done: t('refused', { f: p.fingerprint }) })) loadPending(); } }, t('refuse'))) : null);

  const search = h('input', { id: 'prefix', type: 'search', autocapitalize: 'off', spellcheck: 'false', oninput: soon(() => known.reload()) });
  const known = listing({
    path: '/gateways', params: () => ({ prefix: search.value.trim() }), key: (g) => g.gateway, none: 'gatewaysNone',
    row: (g) => h('details.card.device', {}, h('summary', {}, h('h3', {}, g.gateway), h('span.dim.small', {}, g.last_seen ? t('seenAt', { when: when(g.last_seen) }) : t('notSeen'))),
      facts([['fingerprint', g.fingerprint && h('span.mono', {}, g.fingerprint)], ['impi', g.impi], ['model', g.model], ['serial', g.serial], ['code', g.invitation], ['added', when(g.created)],
        ['psk1s', g.psk1s.map((k) => `${k.source}, ${when(k.created)}`).join('; ')]]),
      h('div.buttons', {}, h('a.button', { href: '#/devices?gateway=' + enc(g.gateway) }, t('itsDevices')), h('a.button', { href: '#/audit?gateway=' + enc(g.gateway) }, t('audit')),
        may('operator') ? h('button', { 'data-name': 'remove', onclick: async () => { if (await act(note, { ask: t('gatewayRemove', { id: g.gateway }), what: t('gatewayRemoveWhat'), yes: t('remove'), danger: true, does: () => write('DELETE', '/gateways/' + enc(g.gateway)), done: t('removed', { id: g.gateway }) })) known.reload(); } }, t('remove')) : null), h('p')),
  });
  loadPending();
  known.reload();
  const timer = setInterval(loadPending, 10000);
  return {
    element: h('div', {}, h('h1', { tabindex: '-1' }, t('gateways')), note,
      h('div.row', {}, h('h2', {}, t('pending')), h('a.button', { href: '#/codes' }, t('codes'))), none, waiting, many,
      h('h2', {}, t('known')), h('label', { for: 'prefix' }, t('search')), search, known.element),
    stop: () => clearInterval(timer),
  };
}
