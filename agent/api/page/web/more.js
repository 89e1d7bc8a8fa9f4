import { h } from './dom.js';
import { t, speak, languages } from './text.js';
import { state, ask, leave } from './net.js';
import { stored, look, draw } from './app.js';

export function moreView() {
  const now = document.documentElement.lang;
  const language = h('select', { id: 'language', onchange: async () => { stored('language', language.value); await speak(language.value); draw(); document.getElementById('language')?.focus(); } },
    languages.map(([tag, name]) => h('option', { value: tag, selected: tag === now, lang: tag }, name)));
  const looks = h('select', { id: 'look', onchange: () => { stored('look', looks.value); look(looks.value); } },
    [['', 'auto'], ['light', 'light'], ['dark', 'dark']].map(([v, name]) => h('option', { value: v, selected: v === (stored('look') || '') }, t(name))));
  const out = async () => {
    await ask('POST', '/logout').catch(() => {});
    leave();
    state.over = false;
  };
  return { element: h('div', {}, h('h1', { tabindex: '-1' }, t('more')),
    h('label', { for: 'language' }, t('language')), language,
    h('label', { for: 'look' }, t('look2')), looks,
    h('p.dim.small.foot', {}, t('caWhy')), h('p.small.wrap', {}, state.gateway?.page?.ca_fingerprint || ''),
    h('div.buttons', {}, h('a.button', { href: '/ca.crt', download: 'pngw-ca.crt' }, t('caGet')), h('button', { onclick: out }, t('logout')))) };
}
