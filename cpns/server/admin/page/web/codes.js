// Enrolment codes: what was given out, and new ones with their picture.
import { h } from 'webpage/dom.js';
import encodeQR from 'qr';
import { t, when } from './text.js';
import { may, write } from './net.js';
import { act, enc, facts, form, listing, noteLine } from './parts.js';

// picture draws a QR code, with the white around it that readers need.
function picture(text) {
  const dots = encodeQR(text, 'raw', { border: 4 });
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', `0 0 ${dots.length} ${dots.length}`);
  svg.setAttribute('class', 'qr');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', t('qr'));
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('shape-rendering', 'crispEdges');
  path.setAttribute('d', dots.map((line, y) => line.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : '')).join('')).join(''));
  svg.append(path);
  return svg;
}

const days = [['86400', 'day1'], ['604800', 'day7'], ['2592000', 'day30'], ['31536000', 'day365']];

export function codesView() {
  const note = noteLine();
  const all = listing({
    path: '/invitations', key: (i) => i.id, none: 'codesNone',
    row: (i) => h('details.card.device', {}, h('summary', {}, h('h2', {}, i.gateway || i.id), h('span.tag' + (state(i) === 'open' ? '.good' : ''), {}, t('code_' + state(i)))),
      facts([['codeID', i.id], ['gatewayID', i.gateway], ['uses', t('usesOf', { used: i.used, uses: i.uses })], ['added', when(i.created)], ['until', when(i.valid_until)]]),
      h('div.buttons', {}, h('a.button', { href: '#/audit' }, t('audit')),
        may('operator') && state(i) === 'open' ? h('button', { 'data-name': 'revoke', onclick: async () => { if (await act(note, { ask: t('revoke'), what: t('revokeWhat'), does: () => write('DELETE', '/invitations/' + enc(i.id)), done: t('revoked') })) all.reload(); } }, t('revoke')) : null), h('p')),
  });
  const state = (i) => (new Date(i.valid_until) < new Date() ? 'ended' : i.used >= i.uses ? 'used' : 'open');
  const make = () => form(t('codeNew'), [
    { id: 'gateway', label: t('codeGateway'), hint: t('codeGatewayHint') },
    { id: 'uses', label: t('codeUses'), type: 'number', value: '1', min: 1, max: 1000 },
    { id: 'valid', label: t('codeValid'), value: '604800', options: days.map(([v, n]) => [v, t(n)]) },
  ], t('codeMake'), async ({ gateway, uses, valid }) => {
    const body = { uses: Number(uses) || 1, valid_seconds: Number(valid) };
    if (gateway) body.gateway = gateway;
    const got = await write('POST', '/invitations', body);
    all.reload();
    return h('div', {}, h('p', {}, t('codeOnce')), picture(got.code), h('p.mono', { id: 'code' }, got.code), h('p.dim', {}, t('codeHow')));
  });
  all.reload();
  return { element: h('div', {}, h('h1', { tabindex: '-1' }, t('codes')), note, may('operator') ? h('button.main', { onclick: make }, t('codeNew')) : null, all.element, h('p', {}, h('a', { href: '#/gateways' }, t('gateways')))) };
}
