import { h } from './dom.js';
import { t } from './words.js';

// open shows a dialog, which goes when it is closed.
export function open(title, ...inside) {
  const d = h('dialog', { 'aria-labelledby': 'dialog' }, h('h2', { id: 'dialog' }, title), ...inside);
  const back = document.activeElement?.isConnected ? document.activeElement : null;
  d.addEventListener('close', () => {
    d.remove();
    if (back?.isConnected) back.focus();
    else document.querySelector('h1')?.focus();
  });
  document.getElementById('app').append(d);
  d.showModal();
  return d;
}

// confirmed asks before what cannot be taken back.
export const confirmed = (title, what, yes) => new Promise((answer) => {
  const d = open(title, h('p', {}, what), h('div.buttons', {},
    h('button.main', { onclick: () => { answer(true); d.close(); } }, yes),
    h('button', { onclick: () => d.close() }, t('cancel'))));
  d.addEventListener('close', () => answer(false));
});
