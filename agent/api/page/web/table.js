// Takes in what a table has: a look at each row first, then the job.
import { h, fill } from 'webpage/dom.js';
import { t, told } from './text.js';
import { state, ask, hashPassword } from './net.js';
import { tag, good } from './job.js';
import { passwordField, start } from './take.js';
import { stored } from 'webpage/look.js';

const maxRows = 1024, maxBytes = 180 << 10;

export function tableView() {
  const say = h('p.say', { role: 'alert' }), after = h('div');
  const file = h('input', { id: 'file', type: 'file', accept: '.csv,text/csv,text/plain', 'aria-describedby': 'filehint' });
  const user = h('input', { id: 'user', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', maxLength: 64, value: state.who?.user || stored('user') || '' });
  let csv = '';

  const looked = (v) => {
    const n = v.rows.filter((r) => r.result === 'good').length;
    const fields = v.users.map((u, i) => ({ user: u, ...passwordField('password' + i) }));
    const go = h('button.main', { type: 'submit' }, t('startRows', { n }));
    const submit = async (e) => {
      e.preventDefault();
      say.textContent = '';
      const missing = fields.find((f) => !f.input.value && state.who?.user !== f.user);
      if (missing) {
        say.textContent = t('needPassword');
        return missing.input.focus();
      }
      go.disabled = true;
      try {
        const hashes = {};
        for (const f of fields) {
          go.textContent = t('hashing');
          hashes[f.user] = f.input.value ? await hashPassword(f.user, f.input.value) : state.who.hash;
          if (fields.length === 1) state.who = { user: f.user, hash: hashes[f.user] };
          f.input.value = '';
        }
        go.textContent = t('asking');
        await start({ user: user.value.trim() || v.users[0], csv, hashes, entity_ids: [] });
        location.hash = '#/home';
        return;
      } catch (e) {
        say.textContent = t('error', { why: e.message });
      }
      go.disabled = false;
      go.textContent = t('startRows', { n });
    };
    const sums = {};
    for (const r of v.rows) sums[r.result] = (sums[r.result] || 0) + 1;
    after.replaceChildren(
      h('h2', { tabindex: '-1' }, t('rows', { n: v.rows.length })),
      h('p', {}, Object.entries(sums).map(([r, k]) => [h('span', {}, k + ' '), tag(r), ' '])),
      n ? h('form', { onsubmit: submit }, fields.map((f) => [h('label', { for: f.input.id }, t('passwordOf', { user: f.user })), f.row]), h('div.buttons', {}, go)) : h('p', {}, t('nothing')),
      h('table', {}, h('thead', {}, h('tr', {}, h('th', {}, t('row')), h('th', {}, t('device')), h('th', {}, t('verdict')))),
        h('tbody', {}, v.rows.map((r) => h('tr', {}, h('td', {}, r.line), h('td', {}, r.entity_id, r.detail ? h('p.dim.small', { lang: told(r.detail).lang }, told(r.detail).text) : null), h('td', {}, tag(r.result)))))));
    after.querySelector('h2').focus();
  };

  const lookAt = async (e) => {
    e.preventDefault();
    say.textContent = '';
    after.replaceChildren();
    const f = file.files[0];
    if (!f) {
      say.textContent = t('file') + '?';
      return file.focus();
    }
    if (f.size > maxBytes) {
      say.textContent = t('tableBig', { n: maxRows });
      return;
    }
    try {
      csv = btoa(Array.from(new Uint8Array(await f.arrayBuffer()), (b) => String.fromCharCode(b)).join('')); // its bytes: the gateway knows what spreadsheets write
      looked(await ask('POST', '/v1/table', { csv, user: user.value.trim() }));
    } catch (e) {
      say.textContent = e.status === 413 ? t('tableBig', { n: maxRows }) : t('error', { why: e.message });
    }
  };
  return { element: h('div', {}, h('h1', { tabindex: '-1' }, t('tableTitle')),
    h('form', { onsubmit: lookAt },
      h('label', { for: 'file' }, t('file')), file, h('p.dim.small', { id: 'filehint' }, t('tableHint', { n: maxRows })),
      h('label', { for: 'user' }, t('tableUser')), user,
      h('div.buttons', {}, h('button', { type: 'submit' }, t('look')))), say, after) };
}
