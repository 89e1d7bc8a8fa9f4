// The technician's page. What it shows is what the gateway says (net.js); what it does is
// asked of the gateway, which goes on with it alone.
import { h, fill, icon } from 'webpage/dom.js';
import { look, stored } from 'webpage/look.js';
import { t, speak } from './text.js';
import { state, onChange, begin } from './net.js';
import { loginView } from './login.js';
import { homeView } from './home.js';
import { devicesView } from './devices.js';
import { linksView } from './links.js';
import { tableView } from './table.js';
import { moreView } from './more.js';

const views = {
  home: [homeView, 'M12 3v12m-5-5 5 5 5-5M4 21h16'],
  devices: [devicesView, 'M4 5h16v6H4zM4 14h16v6H4zM8 8h.01M8 17h.01'],
  links: [linksView, 'M9 15 15 9M11 6l2-2a4 4 0 0 1 6 6l-2 2M13 18l-2 2a4 4 0 0 1-6-6l2-2'],
  more: [moreView, 'M4 7h16M4 12h16M4 17h16'],
  table: [tableView],
};

const app = document.getElementById('app');
let shown; // what is on the screen, {name, update}

// draw makes the screen anew: another view, another language.
export function draw() {
  const name = !state.session?.token ? 'login' : location.hash.slice(2) in views ? location.hash.slice(2) : 'home';
  document.title = t('title', { gw: state.session?.gateway || t('noName') });
  const before = shown?.name;
  if (name === 'login') {
    const view = loginView();
    shown = { name, update: view.update };
    app.replaceChildren(view.element);
  } else {
    const view = views[name][0]();
    const net = h('span.net', { role: 'status' });
    const banner = h('div', { role: 'alert' });
    const main = h('main', { id: 'main' }, banner, view.element);
    const update = (what) => {
      net.classList.toggle('off', !state.online);
      net.textContent = t(state.online ? 'online' : 'offline');
      fill(banner, state.online ? [] : ['off'], (x) => x, () => h('p.card.bad', {}, t('offlineLong')));
      view.update?.(what);
    };
    shown = { name, update, stop: view.stop };
    app.replaceChildren(
      h('a.skip', { href: '#main', onclick: (e) => { e.preventDefault(); main.querySelector('h1')?.focus(); } }, t('skip')),
      h('header', {}, h('img', { src: '/icon.svg', alt: '' }), h('b', {}, state.session.gateway || t('noName')), net),
      h('nav', { 'aria-label': t('title', { gw: '' }).trim() }, ...['home', 'devices', 'links', 'more'].map((n) =>
        h('a', { href: '#/' + n, 'aria-current': n === name || (name === 'table' && n === 'home') ? 'page' : null }, icon(views[n][1]), t(n)))),
      main,
    );
    update();
    if (before && before !== name && before !== 'login') main.querySelector('h1')?.focus();
  }
  app.hidden = false;
}

onChange((what) => {
  if (what === 'session' || !shown || (shown.name === 'login') === !!state.session?.token) draw();
  else shown.update(what);
});
addEventListener('hashchange', () => {
  shown?.stop?.();
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
    state.session ??= { pin: true };
    draw();
    setTimeout(first, 2000);
  }
};
first();
