// What a technician does first: alarms, what is under way, and the devices that say hello.
import { h, fill } from 'webpage/dom.js';
import { t } from './text.js';
import { state, ask, list } from './net.js';
import { itemCard, result, good, progress, tag, advice } from './job.js';
import { take, known } from './take.js';
import { confirmed } from 'webpage/dialog.js';
import { scan } from './camera.js';

// away are jobs that were put away, mine those that this phone began.
const remembered = (name) => {
  let v = {};
  try {
    v = JSON.parse(sessionStorage.getItem(name)) || {};
  } catch {
    // none
  }
  return { v, keep: () => { try { sessionStorage.setItem(name, JSON.stringify(v)); } catch { /* none */ } } };
};
export const away = remembered('away');
export const mine = remembered('mine');

export function homeView() {
  const problems = h('div'), alarms = h('div'), jobs = h('div', { 'aria-live': 'polite' }), found = h('ul.list');
  const none = h('p.dim', {}, t('foundNone'));
  const many = h('button.link', { onclick: () => { selecting = !selecting; chosen.clear(); update(); } });
  const takeMany = h('button.main', { onclick: () => take({ entities: [...chosen], done: () => { selecting = false; chosen.clear(); update(); } }) });
  const who = h('div.row.small');
  const note = h('p.card.warn', { role: 'status', hidden: true });
  const chosen = new Set();
  const moreFound = h('button.link', { onclick: () => { all = true; update(); } });
  let selecting = false, all = false;

  const update = () => {
    const g = state.gateway;
    if (!g) return;
    const pnes = state.pnes || [];
    fill(problems, troubles(g), (p) => p, (p) => h('p.card.warn', {}, t(p)));
    fill(alarms, pnes.filter((p) => p.state === 'alarm'), (p) => p.entity_id, (p) => alarmCard(p, note));
    fill(jobs, showing().map((j, i) => ({ ...j, small: i > 0 && j.ended && j.total <= 3 && j.items.every((x) => x.now === 'delivered') })), (j) => j.id, (j) => (j.lost ? lostCard(j) : j.small ? smallCard(j) : jobCard(j)));
    const items = [...state.jobs.values()].flatMap((j) => j.items);
    const busy = new Set(items.filter((i) => !i.end).map((i) => i.entity_id)), ended = new Set(items.filter((i) => result(i) === 'delivered').map((i) => i.entity_id));
    for (const p of pnes) if (p.state !== 'requested') busy.add(p.entity_id);
    const heard = g.found.filter((f) => !busy.has(f.entity_id) && !ended.has(f.entity_id));
    const there = all ? heard : heard.slice(0, 6);
    moreFound.hidden = there.length === heard.length;
    moreFound.textContent = t('moreFound', { n: heard.length - there.length });
    for (const id of chosen) if (!there.some((f) => f.entity_id === id)) chosen.delete(id);
    fill(found, there.map((f) => ({ entity_id: f.entity_id, link: f.link, epoch: f.epoch, selecting, chosen: chosen.has(f.entity_id) })), (f) => f.entity_id, (f) => foundCard(f));
    none.hidden = there.length > 0;
    many.hidden = there.length < 2;
    many.textContent = t(selecting ? 'cancel' : 'all');
    takeMany.hidden = !selecting;
    takeMany.disabled = !chosen.size;
    takeMany.textContent = t('allTake', { n: chosen.size });
    who.hidden = !state.who;
    if (state.who) who.replaceChildren(h('div', {}, t('takeAs', { user: state.who.user })), h('button.link', { onclick: () => { state.who = null; update(); } }, t('another')));
  };

  const foundCard = (f) => h('li.card', {}, h('div.row', {},
    f.selecting ? h('input', { type: 'checkbox', checked: f.chosen, 'aria-label': t('select', { id: f.entity_id }), 'data-name': 'check', onchange: (e) => { e.target.checked ? chosen.add(f.entity_id) : chosen.delete(f.entity_id); update(); } }) : null,
    h('div', {}, h('h3', {}, f.entity_id), h('p.dim.small', {}, t('foundOn', { link: f.link }) + (f.epoch ? '; ' + t('foundHeld') : ''))),
    f.selecting ? null : h('button', { 'data-name': 'take', 'aria-label': t('take') + ' ' + f.entity_id, onclick: () => take({ entities: [f.entity_id], fixed: true }) }, t('take'))));

  const element = h('div', {},
    problems, alarms, note,
    h('h1', { tabindex: '-1' }, t('addTitle')),
    jobs, who,
    h('div.row', {}, h('h2', {}, t('found')), many), none, found, moreFound, takeMany,
    h('div.actions', {},
      h('button.main', { onclick: () => scan((id) => take({ entities: [id], fixed: true }), () => take({})) }, t('scan')),
      h('button', { onclick: () => take({}) }, t('type')),
      h('button', { onclick: () => { location.hash = '#/table'; } }, t('table'))));
  return { element, update };
}

// troubles are what keeps the gateway from its work.
function troubles(g) {
  const p = [];
  if (!g.gateway) return ['p_unnamed'];
  if (!g.clock_set) p.push('p_clock');
  if (g.psk1?.waiting) p.push('p_psk');
  if (!g.links.length) p.push('p_nolinks');
  else if (!g.links.some((l) => l.state === 'up')) p.push('p_links');
  if (g.unwritten?.length) p.push('p_store');
  if (g.faults?.length) p.push('p_fault');
  return p;
}

function alarmCard(p, note) {
  const readmit = async () => {
    if (!(await confirmed(t('readmit'), t('alarmDo'), t('readmit')))) return;
    try {
      await ask('POST', '/v1/readmit', { entity_id: p.entity_id });
      note.textContent = t('readmitted', { id: p.entity_id });
    } catch (e) {
      note.textContent = t('error', { why: e.message });
    }
    note.hidden = false;
    list(true);
  };
  return h('section.card.bad', {}, h('h2', {}, t('alarm', { id: p.entity_id })), h('p', {}, t('alarmWhat')), h('p', {}, t('alarmDo')),
    h('div.buttons', {}, h('button', { onclick: readmit }, t('readmit')), h('button', { onclick: () => take({ entities: [p.entity_id], fixed: true, reassign: true, user: p.user }) }, t('renew'))));
}

// showing are the jobs, the latest first, and those of this phone that the gateway has
// forgotten because it began anew.
function showing() {
  const all = [], newer = new Set();
  for (const j of [...state.jobs.values()].sort((a, b) => b.n - a.n)) {
    // One whose devices were all asked for again since has nothing more to say.
    const old = j.items.every((i) => newer.has(i.entity_id));
    for (const i of j.items) newer.add(i.entity_id);
    if (!away.v[j.id] && !(old && j.ended)) all.push({ ...j, items: j.items.map((i) => ({ ...i, now: result(i) })) });
  }
  for (const [id, m] of Object.entries(mine.v)) {
    if (state.jobs.has(id) || away.v[id] || !state.pnes) continue;
    if (!m.seen) continue; // the gateway has not told of it yet
    all.push({ id, lost: true, user: m.user, items: m.entities.map((e) => ({ entity_id: e, state: state.pnes.find((p) => p.entity_id === e)?.state || 'none' })) });
  }
  for (const id of state.jobs.keys()) if (mine.v[id] && !mine.v[id].seen) { mine.v[id].seen = true; mine.keep(); }
  return all;
}

const putAway = (j) => h('button.link', { 'data-name': 'away', onclick: () => { away.v[j.id] = true; away.keep(); known(); } }, t('gone'));

function jobCard(j) {
  const again = (i) => () => take({ entities: [i.entity_id], fixed: true, user: j.user });
  const many = j.total > 3;
  const done = j.items.filter((i) => i.now === 'delivered').length;
  const bad = j.items.filter((i) => !(i.now in good));
  return h('section.card', { 'aria-label': many ? t('jobMany', { n: j.total, user: j.user }) : j.items.map((i) => i.entity_id).join(', ') },
    many ? [
      h('div.row.top', {}, h('h2', {}, t('jobMany', { n: j.total, user: j.user })), h('span.tag' + (j.ended ? (done === j.total ? '.good' : '.warn') : ''), {}, t('jobDone', { done, n: j.total }))),
      progress(j),
      h('details', {}, h('summary', {}, t('detail') + (bad.length ? ` (${bad.length})` : '')),
        h('table', {}, h('tbody', {}, j.items.map((i) => h('tr', {}, h('td', {}, i.line || i.at + 1), h('td', {}, i.entity_id, i.now in good ? null : h('p.dim.small', {}, advice(i, i.now) || i.end?.detail)), h('td', {}, tag(i.now))))))),
    ] : j.items.map((i) => itemCard(i, j.user, again(i))),
    j.ended ? h('div.row', {}, h('span'), putAway(j)) : null);
}

// smallCard is a job that went well, and is not the latest.
function smallCard(j) {
  const names = j.items.map((i) => i.entity_id).join(', ');
  return h('section', { 'aria-label': names }, h('details.card.device', {}, h('summary', {}, h('h2', {}, names), tag('delivered')),
    h('ol.steps', {}, h('li', {}, t('jobFor', { user: j.user }))), h('div.row', {}, h('span'), putAway(j))));
}

function lostCard(j) {
  return h('section.card', { 'aria-label': t('jobLost') }, h('h2', {}, t('jobLost')), j.items.map((i) => {
    const r = i.state === 'delivered' ? 'delivered' : i.state === 'assigned' ? 'assigned' : 'unasked';
    return h('div', {}, h('div.row', {}, h('div', {}, h('b', {}, i.entity_id)), tag(r)),
      r === 'delivered' ? null : h('p', {}, t(r === 'assigned' ? 'a_lostWait' : 'a_lostAsk')),
      r === 'unasked' ? h('div.buttons', {}, h('button', { onclick: () => take({ entities: [i.entity_id], fixed: true, user: j.user }) }, t('retry'))) : null);
  }), h('div.row', {}, h('span'), putAway(j)));
}
