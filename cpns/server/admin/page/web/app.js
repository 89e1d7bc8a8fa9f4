// The operators' page. Everything that it shows and does, it asks of the admin API, as
// any program may: what a role may not do, the server refuses.
import { h, fill, icon } from 'webpage/dom.js';
import { look, stored } from 'webpage/look.js';
import { speak, t } from './text.js';
import { begin, onChange, state } from './net.js';
import { loginView } from './login.js';
import { gatewaysView } from './gateways.js';
import { codesView } from './codes.js';
import { devicesView } from './devices.js';
import { importView } from './import.js';
import { usersView } from './users.js';
import { auditView } from './audit.js';
import { moreView } from './more.js';

const views = {
  gateways: [gatewaysView, 'M4 15h16v5H4zM8 17.5h.01M7 11a7 7 0 0 1 10 0M10 13.5a3 3 0 0 1 4 0'],
  devices: [devicesView, 'M4 5h16v6H4zM4 14h16v6H4zM8 8h.01M8 17h.01'],
  users: [usersView, 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8M4 21a8 8 0 0 1 16 0'],
  audit: [auditView, 'M6 3h12v18H6zM9 8h6M9 12h6M9 16h4'],
  more: [moreView, 'M4 7h16M4 12h16M4 17h16'],
  codes: [codesView, '', 'gateways'],
  import: [importView, '', 'devices'],
};

const app = document.getElementById('app');
let shown; // what is on the screen, {name, update, stop}

// draw makes the screen anew: another view, another language.
export function draw() {
  const [asked, params] = location.hash.slice(2).split('?');
  const name = !state.me ? 'login' : asked in views ? asked : 'gateways';
  shown?.stop?.();
  document.title = t('title');
  const before = shown?.name;
  if (name === 'login') {
    shown = { name };
    app.replaceChildren(loginView().element);
  } else {
    const view = views[name][0](Object.fromEntries(new URLSearchParams(params)));
    const net = h('span.net', { role: 'status' }), banner = h('div', { role: 'alert' });
    const main = h('main', { id: 'main' }, banner, view.element);
    const update = () => {
      net.classList.toggle('off', !state.online);
      net.textContent = state.online ? `${state.me.name} (${t('role_' + state.me.role)})` : t('offline');
      fill(banner, state.online ? [] : ['off'], (x) => x, () => h('p.card.bad', {}, t('offlineLong')));
    };
    shown = { name, update, stop: view.stop };
    app.replaceChildren(
      h('a.skip', { href: '#main', onclick: (e) => { e.preventDefault(); main.querySelector('h1')?.focus(); } }, t('skip')),
      h('header', {}, h('img', { src: '/icon.svg', alt: '' }), h('b', {}, t('title')), net),
      h('nav', { 'aria-label': t('title') }, ...Object.keys(views).filter((n) => views[n][1]).map((n) =>
        h('a', { href: '#/' + n, 'aria-current': n === name || n === views[name][2] ? 'page' : null }, icon(views[n][1]), t(n)))),
      main,
    );
    update();
    if (before && before !== name && before !== 'login') main.querySelector('h1')?.focus();
  }
  app.hidden = false;
}

onChange((what) => {
  if (what === 'session' || !shown) draw();
  else shown.update?.();
});
addEventListener('hashchange', () => {
  draw();
  scrollTo(0, 0);
});

look(stored('look'));
await speak(stored('language'));
document.getElementById('old').remove();
const first = async () => {
  try {
    await begin();
  } catch {
    draw();
    setTimeout(first, 2000);
  }
};
first();
