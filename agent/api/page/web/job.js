// A job, as the gateway tells it.
import { h, fill } from 'webpage/dom.js';
import { t, told } from './text.js';
import { state } from './net.js';

export const good = { delivered: 'good', already: 'good', good: 'good', assigned: 'warn', duplicate: 'warn', unasked: 'warn', running: '' };

export const tag = (result) => h('span.tag' + (result in good ? (good[result] && '.' + good[result]) : '.bad'), {}, t('r_' + result));

// result is how far a device of a job is, which may be further than its job knows: what
// was not delivered in time is at the device's next hello.
export function result(item) {
  const end = item.end?.result;
  if (!end) return 'running';
  if (end === 'assigned' && state.pnes?.some((p) => p.entity_id === item.entity_id && p.state === 'delivered')) return 'delivered';
  return end;
}

const said = (item, r) => r === 'refused' && item.end.status >= 1 && item.end.status <= 5;

// advice is what to do, in the reader's language.
export function advice(item, r) {
  if (said(item, r)) return t('a_' + item.end.status);
  if (r === 'assigned') return t('a_assigned');
  if (r === 'unreachable') return t('a_unreachable');
  return item.end?.advice || '';
}

function step(s, i, all, ended) {
  const last = i === all.length - 1 && !ended;
  const kind = s.step === 'failed' || s.step === 'device_refused' ? 'no' : last && s.step !== 'delivered' ? (s.step.endsWith('_wait') || s.step === 'waiting' ? 'wait' : 'now') : null;
  let text = t(s.step, s);
  if (s.step === 'waiting' && s.links?.length) text += ' (' + s.links.join(', ') + ')';
  if (s.step === 'delivered' && s.link) text += ' (' + s.link + ')';
  return h('li.' + (kind || 'ok'), {}, h('span.wrap', {}, text, s.step === 'device_refused' && s.detail ? h('span.dim.small', { lang: told(s.detail).lang }, ' ' + told(s.detail).text) : null));
}

// itemCard is a device of a job, with its steps.
export function itemCard(item, user, retry) {
  const r = result(item);
  const bad = !(r in good), steps = item.steps || [];
  return h('div', {},
    h('div.row.top', {}, h('div', {}, h('h2', {}, item.entity_id), h('p.dim.small', {}, t('jobFor', { user }))), tag(r)),
    h('ol.steps', {}, ...(steps.length ? steps : [{ step: 'begun' }]).filter((s) => s.step !== 'failed').map((s, i, all) => step(s, i, all, item.end))),
    bad || r === 'assigned' ? h('p', {}, advice(item, r)) : null,
    bad && item.end?.detail && !said(item, r) ? h('p.dim.small.wrap', {}, t('detail') + ': ', h('span', { lang: told(item.end.detail).lang }, told(item.end.detail).text)) : null,
    bad && retry ? h('div.buttons', {}, h('button', { onclick: retry, 'data-name': 'retry' }, t('retry'))) : null);
}

// jobCard is a job of several devices.
export function progress(job) {
  const done = job.items.filter((i) => i?.end).length;
  return h('div.bar', { role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': String(job.total), 'aria-valuenow': String(done), 'aria-label': t('progress', { done, n: job.total }) },
    (() => { const i = h('i'); i.style.width = (100 * done / job.total) + '%'; return i; })());
}

export { fill };
