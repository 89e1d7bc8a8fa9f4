import { h } from 'webpage/dom.js';
import { choices } from 'webpage/look.js';
import { t } from './text.js';
import { state, ask, leave } from './net.js';
import { draw } from './app.js';

export function moreView() {
  const out = async () => {
    await ask('POST', '/logout').catch(() => {});
    leave();
    state.over = false;
  };
  return { element: h('div', {}, h('h1', { tabindex: '-1' }, t('more')),
    choices(draw),
    h('p.dim.small.foot', {}, t('caWhy')), h('p.small.wrap', {}, state.gateway?.page?.ca_fingerprint || ''),
    h('div.buttons', {}, h('a.button', { href: '/ca.crt', download: 'pngw-ca.crt' }, t('caGet')), h('button', { onclick: out }, t('logout')))) };
}
