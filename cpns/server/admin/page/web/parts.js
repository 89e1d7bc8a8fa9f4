// What several views are made of.
import { h, fill } from 'webpage/dom.js';
import { confirmed, open } from 'webpage/dialog.js';
import { t } from './text.js';
import { read, Refused } from './net.js';

export const why = (e) => (e instanceof Refused ? e.message : t('offlineLong'));

// query is what stands behind the ? of an address, of what is not empty.
export const query = (params) => {
  const q = new URLSearchParams(Object.entries(params).filter(([, v]) => v)).toString();
  return q ? '?' + q : '';
};

export const enc = encodeURIComponent;

// soon calls f a moment after the last of several calls.
export function soon(f, ms = 300) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(f, ms);
  };
}

// listing shows a list that may be a million long, a page at a time. path and params()
// say what to ask for, row makes an element of an item, key names it.
export function listing({ path, params = () => ({}), key, row, none }) {
  const rows = h('div.rows'), say = h('p.dim', { role: 'status' }), more = h('button', { hidden: true });
  let items = [], next = '', asked = 0;
  const show = () => {
    fill(rows, items, key, row);
    say.textContent = items.length ? t(next ? 'firstOf' : 'allOf', { n: items.length }) : t(next ? 'noneYet' : none);
    more.hidden = !next;
    more.textContent = t('moreRows');
  };
  const fetchPage = async (after) => {
    const n = ++asked;
    more.disabled = true;
    try {
      const page = await read(path + query({ ...params(), after, limit: 100 }));
      if (n !== asked) return; // another was asked for meanwhile
      items = after ? [...items, ...page.items] : page.items;
      next = page.next || '';
      show();
    } catch (e) {
      if (n === asked) say.textContent = t('error', { why: why(e) });
    }
    more.disabled = false;
  };
  more.addEventListener('click', () => fetchPage(next));
  const reload = () => fetchPage('');
  return { element: h('div', {}, say, rows, more), reload, items: () => items };
}

// act does what a button is for, after a question where there is one, and says what came
// of it in note.
export async function act(note, { ask, what, yes, does, done, danger }) {
  if (ask && !(await confirmed(ask, what || '', yes || ask))) return false;
  try {
    const got = await does();
    note.className = danger ? 'card warn' : 'card';
    note.textContent = typeof done === 'function' ? done(got) : done;
  } catch (e) {
    note.className = 'card bad';
    note.textContent = t('error', { why: why(e) });
    note.hidden = false;
    return false;
  }
  note.hidden = false;
  return true;
}

export const noteLine = () => h('p.card', { hidden: true, role: 'status' });

// form is a dialog with fields: [{id, label, hint, type, value, options, …}]. submit gets
// their values, and may throw; what it returns is shown where it is an element.
export function form(title, fields, yes, submit) {
  const say = h('p.say', { role: 'alert' });
  const inputs = fields.map((f) => {
    const e = f.options
      ? h('select', { id: f.id }, f.options.map(([v, name]) => h('option', { value: v, selected: v === f.value }, name)))
      : h('input', { id: f.id, type: f.type || 'text', value: f.value || '', autocomplete: f.type === 'password' ? 'new-password' : 'off', autocapitalize: 'off', spellcheck: 'false', min: f.min, max: f.max, 'aria-describedby': f.hint ? f.id + '-hint' : null });
    if (f.type === 'checkbox') e.checked = !!f.value;
    return e;
  });
  const go = h('button.main', { type: 'submit' }, yes);
  const body = h('form', {
    onsubmit: async (e) => {
      e.preventDefault();
      if (go.disabled) return;
      const missing = fields.findIndex((f, i) => f.needed && !inputs[i].value);
      if (missing >= 0) {
        say.textContent = t('needed', { what: fields[missing].label });
        return inputs[missing].focus();
      }
      go.disabled = true;
      say.textContent = '';
      try {
        const got = await submit(Object.fromEntries(fields.map((f, i) => [f.id, f.type === 'checkbox' ? inputs[i].checked : f.type === 'password' ? inputs[i].value : inputs[i].value.trim()])));
        if (got instanceof Node) body.replaceChildren(got, h('div.buttons', {}, h('button', { type: 'button', onclick: () => d.close() }, t('close'))));
        else d.close();
      } catch (e) {
        say.textContent = t('error', { why: why(e) });
        go.disabled = false;
      }
    },
  }, fields.map((f, i) => [h('label', { for: f.id }, f.label), inputs[i], f.hint ? h('p.dim.small', { id: f.id + '-hint' }, f.hint) : null]), say,
  h('div.buttons', {}, go, h('button', { type: 'button', onclick: () => d.close() }, t('cancel'))));
  const d = open(title, body);
  inputs[0]?.focus();
  return d;
}

// facts is a list of what is known: [[name, value], …], without those that are empty.
export const facts = (pairs) => h('dl', {}, pairs.filter(([, v]) => v !== '' && v !== null && v !== undefined).map(([k, v]) => [h('dt', {}, t(k)), h('dd', {}, v)]));
