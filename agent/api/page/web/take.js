// Takes devices in: what the gateway has to be told for that.
import { h } from 'webpage/dom.js';
import { t, sentence } from './text.js';
import { state, ask, insist, changed, hashPassword, draw, Refused } from './net.js';
import { open } from 'webpage/dialog.js';
import { scan } from './camera.js';
import { mine } from './home.js';
import { stored } from 'webpage/look.js';

export const known = () => changed('jobs');

// passwordField is a field with a button that shows what is typed.
export function passwordField(id, hint) {
  const input = h('input', { id, type: 'password', autocomplete: 'off', maxLength: 1024, 'aria-describedby': hint });
  const show = h('button', { type: 'button', 'aria-pressed': 'false', 'aria-controls': id, onclick: () => {
    const hidden = input.type === 'password';
    input.type = hidden ? 'text' : 'password';
    show.textContent = t(hidden ? 'hide' : 'show');
    show.setAttribute('aria-pressed', String(hidden));
  } }, t('show'));
  return { input, row: h('div.with', {}, input, show) };
}

// start asks for a job, as often as it takes to have an answer. It is one job, however
// often it is asked for.
export async function start(body) {
  body.id = draw();
  mine.v[body.id] = { user: body.user, entities: body.entity_ids || [] };
  mine.keep();
  try {
    await insist('POST', '/v1/jobs', body);
  } catch (e) {
    delete mine.v[body.id];
    mine.keep();
    throw e;
  }
}

// take takes devices in: those given, or one that is typed. A user who is known already
// is not asked for again.
export async function take({ entities, fixed, user, reassign, done }) {
  if (entities?.length && state.who && !reassign && (!user || user === state.who.user)) {
    try {
      await start({ user: state.who.user, password_hash: state.who.hash, entity_ids: entities });
      done?.();
      return seen();
    } catch (e) {
      if (!(e instanceof Refused)) throw e;
      return form({ entities, fixed, user, reassign, done, refused: e });
    }
  }
  form({ entities, fixed, user, reassign, done });
}

function seen() {
  if (location.hash.slice(2) === 'home' || location.hash.length < 3) known();
  else location.hash = '#/home';
  scrollTo({ top: 0, behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
}

function form({ entities, user, reassign, done, refused }) {
  const say = h('p.say', { role: 'alert' });
  const more = h('div');
  const device = entities?.length ? null : h('input', { id: 'device', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', maxLength: 80, 'aria-describedby': 'devicehint' });
  const name = h('input', { id: 'user', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', maxLength: 64, 'aria-describedby': 'userhint', value: user || state.who?.user || stored('user') || '' });
  const { input: password, row } = passwordField('password', 'passwordhint');
  const go = h('button.main', { type: 'submit' }, t(reassign ? 'renew' : 'take'));
  let again = false, busy = false;

  const wrong = (field, text, ...what) => {
    say.textContent = text;
    more.replaceChildren(...what);
    for (const f of [device, name, password]) f?.setAttribute('aria-invalid', String(f === field));
    field?.focus();
  };
  const failed = (e) => {
    const body = e.body || {};
    if (e.status === 409 && body.code === 'has') {
      wrong(null, t('has'), h('p', {}, t('hasWhat')), h('button', { type: 'button', onclick: () => { again = true; submit(); } }, t('hasAgain')));
    } else if (e.status === 409 && body.code === 'busy') {
      wrong(null, t('busy'));
    } else if (e.status === 409 && body.code === 'jobs') {
      wrong(null, t('jobs'));
    } else if (e.status === 422) {
      wrong(device, body.fits ? t('mistyped') : sentence(e.message), body.fits ? h('div.buttons', {}, h('p', {}, t('meant')), body.fits.map((f) => h('button', { type: 'button', onclick: () => { device.value = f.Meant; say.textContent = ''; more.replaceChildren(); name.value ? password.focus() : name.focus(); } }, t('use', { id: f.Meant })))) : '');
    } else {
      wrong(null, t('error', { why: e.message }));
    }
  };
  const submit = async (e) => {
    e?.preventDefault();
    if (busy) return;
    if (device && !device.value.trim()) return wrong(device, t('needDevice'));
    if (!name.value.trim()) return wrong(name, t('needUser'));
    const same = state.who?.user === name.value.trim();
    if (!password.value && !same) return wrong(password, t('needPassword'));
    busy = go.disabled = true;
    wrong(null, '');
    try {
      const ids = device ? [(await ask('POST', '/v1/device', { text: device.value })).entity_id] : entities;
      const who = name.value.trim();
      if (password.value) {
        go.textContent = t('hashing');
        state.who = { user: who, hash: await hashPassword(who, password.value) };
        password.value = '';
      }
      go.textContent = t('asking');
      await start({ user: who, password_hash: state.who.hash, entity_ids: ids, again, reassign });
      stored('user', who);
      d.close();
      done?.();
      seen();
    } catch (e) {
      failed(e);
    }
    busy = go.disabled = false;
    go.textContent = t(reassign ? 'renew' : 'take');
  };

  const d = open(t(reassign ? 'renew' : 'addTitle'),
    h('form', { onsubmit: submit, novalidate: '' },
      device ? [h('label', { for: 'device' }, t('device')), h('div.with.wide', {}, device, h('button', { type: 'button', onclick: () => { d.close(); scan((id) => take({ entities: [id] }), () => take({})); } }, t('scan'))), h('p.dim.small', { id: 'devicehint' }, t('deviceHint'))]
        : entities.length > 3 ? h('p', {}, h('b', {}, t('allTake', { n: entities.length }))) : entities.map((e) => h('p.wrap', {}, h('b', {}, e))),
      h('label', { for: 'user' }, t('user')), name, h('p.dim.small', { id: 'userhint' }, t('userHint')),
      h('label', { for: 'password' }, t('password')), row, h('p.dim.small', { id: 'passwordhint' }, t('passwordHint')),
      say, more,
      h('div.buttons', {}, go, h('button', { type: 'button', onclick: () => d.close() }, t('cancel')))));
  (device || (name.value ? password : name)).focus();
  if (refused) failed(refused);
}
