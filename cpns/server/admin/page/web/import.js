// Takes devices with their Temporary Keys in, from a factory's table: each row that is bad
// gets a verdict. The keys go to the server and are shown nowhere.
import { h } from 'webpage/dom.js';
import { t } from './text.js';
import { may, write } from './net.js';
import { why } from './parts.js';
import { table } from './csv.js';

const maxBytes = 64 << 20, part = 2000, shownAtMost = 500;

export function importView() {
  const say = h('p.say', { role: 'alert' }), status = h('p', { role: 'status' }), bar = h('i'), verdicts = h('div');
  const file = h('input', { id: 'file', type: 'file', accept: '.csv,text/csv,text/plain', 'aria-describedby': 'filehint' });
  const go = h('button.main', { type: 'submit' }, t('importGo'));

  const send = async (f) => {
    const rows = table(await f.text(), ['entity_id', 'tk'], ['entity_id', 'tk', 'owner']);
    if (!rows) {
      say.textContent = t('importColumns');
      return;
    }
    const ids = new Map(rows.map((r) => [r.line, r.entity_id]));
    const sums = { imported: 0, there: 0 }, bad = [];
    for (let at = 0; at < rows.length; at += part) {
      // What was taken in before an answer was lost is passed over: so it may be sent again.
      const got = await write('POST', '/pnes/import', { rows: rows.slice(at, at + part).map(({ owner, ...r }) => (owner ? { ...r, owner } : r)), resume: true }, { keyed: false });
      sums.imported += got.imported;
      sums.there += got.there;
      bad.push(...got.bad);
      const done = Math.min(at + part, rows.length);
      status.textContent = t('importNow', { done, n: rows.length });
      bar.style.width = (100 * done) / rows.length + '%';
    }
    status.textContent = rows.length ? t('importDone', { ...sums, bad: bad.length }) : t('importNothing');
    if (bad.length) verdicts.append(h('div.scroll', {}, h('table', {}, h('thead', {}, h('tr', {}, h('th', {}, t('row')), h('th', {}, t('device')), h('th', {}, t('verdict')))),
      h('tbody', {}, bad.slice(0, shownAtMost).map((v) => h('tr', {}, h('td', {}, v.line), h('td', {}, ids.get(v.line) || ''), h('td', { lang: 'en' }, v.reason)))))),
    bad.length > shownAtMost ? h('p', {}, t('importMore', { n: bad.length - shownAtMost })) : '');
  };
  const submit = async (e) => {
    e.preventDefault();
    say.textContent = status.textContent = '';
    verdicts.replaceChildren();
    const f = file.files[0];
    if (!f) {
      say.textContent = t('needed', { what: t('importFile') });
      return file.focus();
    }
    if (f.size > maxBytes) {
      say.textContent = t('importBig');
      return;
    }
    go.disabled = true;
    try {
      await send(f);
    } catch (e) {
      say.textContent = t('error', { why: why(e) });
    }
    go.disabled = false;
  };
  return {
    element: h('div', {}, h('h1', { tabindex: '-1' }, t('importTitle')), may('operator') ? h('form', { onsubmit: submit },
      h('label', { for: 'file' }, t('importFile')), file, h('p.dim.small', { id: 'filehint' }, t('importHint')), h('div.buttons', {}, go)) : h('p', {}, t('mayNot')),
    h('div.bar', {}, bar), status, say, verdicts, h('p', {}, h('a', { href: '#/devices' }, t('devices')))),
  };
}
