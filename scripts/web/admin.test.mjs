// The operators' page in a real Chromium, against a real server with its admin API, real
// gateways and devices. Screenshots of what it shows go to SHOTS.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { accessible, desktop, figures, launch, phone, shot, visitor } from './browser.mjs';
import { Fleet, PASSWORD } from './fleet.mjs';

let fleet, browser, visit;
const open = new Set();

before(async () => {
  fleet = await Fleet.start();
  browser = await launch();
  visit = visitor(browser, fleet.url, open);
});
after(async () => {
  await browser?.close();
  await fleet?.stop();
  console.log(JSON.stringify(figures, null, 1));
});
afterEach(async () => {
  for (const c of open) await c.close();
  open.clear();
});

async function enter(role, options = desktop) {
  const page = await visit(options);
  await page.fill('#token', fleet.tokens[role]);
  await page.getByRole('button', { name: /Log in|Anmelden/ }).click();
  await page.getByRole('heading', { level: 1, name: 'Gateways' }).waitFor();
  return page;
}

const go = (page, name) => page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
const card = (page, id) => page.locator('details, li').filter({ has: page.getByRole('heading', { name: id, exact: true }) });
// unfold opens a card, unless it is open.
const unfold = async (page, id) => {
  if (!(await card(page, id).getAttribute('open').catch(() => null) === '')) await card(page, id).locator('summary').click();
};
const audit = () => fleet.run('cpns-server', ['audit', '--data', 'server', '--json']).trim().split('\n').map((l) => JSON.parse(l));

test('a token that does not hold, and one that does', async () => {
  const page = await visit(phone);
  await accessible(page, 'admin login');
  await shot(page, 'admin-phone-1-login');
  await page.fill('#token', 'cpns_wrong');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByText('This token does not hold').waitFor();
  await shot(page, 'admin-phone-2-wrong-token');
  await page.fill('#token', fleet.tokens.operator);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByText('No gateway waits.').waitFor();
  await page.reload(); // the tab has kept it
  await page.getByText('No gateway waits.').waitFor();
  assert.equal(await page.evaluate(() => document.cookie + localStorage.length), '0');
  await page.done();
});

test('gateways wait: fingerprints, one approval for many, one refused', async () => {
  const page = await enter('operator');
  const prints = await fleet.knock(['gw-a', 'gw-b', 'gw-c']);
  for (const id of ['gw-a', 'gw-b', 'gw-c']) await page.getByText(prints[id], { exact: true }).waitFor({ timeout: 20000 });
  await accessible(page, 'admin pending');
  await page.getByRole('checkbox', { name: 'Select gw-a' }).check();
  await page.getByRole('checkbox', { name: 'Select gw-b' }).check();
  await shot(page, 'admin-desktop-1-pending');
  await page.getByRole('button', { name: 'Approve 2 gateways' }).click();
  await page.getByRole('dialog').getByText(prints['gw-a']).waitFor();
  await shot(page, 'admin-desktop-2-approve-many');
  await page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
  await page.getByText('2 of 2 approved').waitFor();
  await page.getByRole('button', { name: 'Refuse gw-c' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Refuse' }).click();
  await page.getByText('No gateway waits.').waitFor();
  await card(page, 'gw-a').waitFor();
  const kinds = audit().filter((e) => e.gateway === 'gw-a').map((e) => e.event);
  assert.equal(kinds.filter((k) => /approved/.test(k)).length, 1, kinds.join());
  await page.done();
});

test('a code with its picture takes a gateway in', async () => {
  const page = await enter('operator', phone);
  await page.getByRole('link', { name: 'Enrolment codes' }).click();
  await page.getByRole('button', { name: 'New code' }).click();
  await page.fill('#gateway', 'gw-code');
  await page.getByRole('dialog').getByRole('button', { name: 'Make the code' }).click();
  const code = await page.locator('#code').textContent();
  await page.getByRole('img', { name: 'QR code' }).waitFor();
  await accessible(page, 'admin code');
  await shot(page, 'admin-phone-3-code');
  assert.match(code, /^CPNS1-/);
  await page.getByRole('button', { name: 'Close' }).click();
  fleet.enrol('gw-code', code);
  await fleet.served('gw-code');
  await go(page, 'Gateways');
  await card(page, 'gw-code').waitFor();
  await page.done();
});

test('devices by the million are searched by page', async () => {
  const page = await enter('operator');
  await go(page, 'Devices');
  await page.getByText('The first 100.').waitFor();
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.getByText('The first 200.').waitFor();
  await page.fill('#prefix', 'meter-00042');
  await page.getByText('1 in all').waitFor();
  await card(page, 'meter-00042').locator('summary').click();
  await accessible(page, 'admin devices');
  await shot(page, 'admin-desktop-3-device');
  await card(page, 'meter-00042').getByRole('button', { name: 'Give to' }).click();
  await page.fill('#to', 'nobody-known');
  await page.getByRole('dialog').getByRole('button', { name: 'Give to' }).click();
  await page.getByRole('dialog').getByText('That did not work').waitFor();
  await page.fill('#to', 'alice');
  await page.getByRole('dialog').getByRole('button', { name: 'Give to' }).click();
  await page.getByText('meter-00042 is alice’s now.').waitFor();
  await page.selectOption('#state', 'owned');
  await page.getByText('1 in all').waitFor();
  await unfold(page, 'meter-00042');
  await card(page, 'meter-00042').getByRole('button', { name: 'Release' }).click();
  await shot(page, 'admin-desktop-4-release');
  await page.getByRole('dialog').getByRole('button', { name: 'Release' }).click();
  await page.getByText('meter-00042 is nobody’s now.').waitFor();
  await page.done();
});

// A browser makes /pnes/./owner into /pnes/owner: what is meant for a device of the name "."
// must not be done to one that is called owner.
test('a device whose name is a dot is no other', async () => {
  fleet.run('cpns-server', ['pne', 'import', '--data', 'server', fleet.write('steps.csv', 'entity_id,tk,owner\n.,' + '0123456789abcdef'.repeat(2) + ',alice\nowner,' + 'fedcba9876543210'.repeat(2) + ',\n')]);
  const page = await enter('operator');
  await go(page, 'Devices');
  await page.fill('#prefix', '.');
  await page.getByText('1 in all').waitFor();
  await unfold(page, '.');
  await card(page, '.').getByRole('button', { name: 'Release' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Release' }).click();
  await page.getByText('no browser can send').waitFor();
  assert.match(fleet.run('cpns-server', ['pne', 'list', '--data', 'server', '--state', 'free', '--json', '--prefix', 'owner']), /"entity_id":"owner"/);
  fleet.run('cpns-server', ['pne', 'release', '--data', 'server', '.']);
  await page.done();
});

test('users, their locks, and a new one', async () => {
  const page = await enter('operator', phone);
  await go(page, 'Users');
  await card(page, 'alice').waitFor();
  await page.getByRole('button', { name: 'Add a user' }).click();
  await page.fill('#user', 'dora');
  await page.fill('#password', 'Überraschung für Dora');
  await page.getByRole('dialog').getByRole('button', { name: 'Add a user' }).click();
  await page.getByText('dora is added.').waitFor();
  await card(page, 'dora').locator('summary').click();
  await card(page, 'dora').getByRole('button', { name: 'Disable' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click();
  await page.getByText('dora is disabled.').waitFor();
  await card(page, 'dora').getByText('Disabled', { exact: true }).waitFor();
  await accessible(page, 'admin users');
  await shot(page, 'admin-phone-4-users');
  assert.deepEqual(audit().filter((e) => e.user === 'dora').map((e) => e.event).length, 2);
  await page.done();
});

test('an import has a verdict for each row, and may be sent again', async () => {
  const page = await enter('operator');
  await page.goto(fleet.url + '/#/import');
  const tk = () => randomBytes(16).toString('hex');
  const rows = Array.from({ length: 1200 }, (_, i) => `new-${i},${tk()}`);
  rows[7] = 'new-7,not-hex';
  rows[8] = 'new-8,00000000000000000000000000000000';
  const file = path.join(fleet.dir, 'page.csv');
  writeFileSync(file, '\ufeffentity_id,tk\r\n' + rows.join('\r\n') + '\r\n');
  await page.setInputFiles('#file', file);
  await page.getByRole('button', { name: 'Import' }).click();
  await page.getByText('1198 added, 0 known already, 2 refused').waitFor({ timeout: 60000 });
  await page.getByRole('cell', { name: '9', exact: true }).waitFor();
  await accessible(page, 'admin import');
  await shot(page, 'admin-desktop-5-import');
  await page.getByRole('button', { name: 'Import' }).click();
  await page.getByText('0 added, 1198 known already, 2 refused').waitFor({ timeout: 60000 });
  assert.ok(!(await page.content()).includes(rows[0].split(',')[1]), 'a key is on the page');
  await page.done();
});

test('the audit log with a filter, dark and in German, by keyboard', async () => {
  const page = await enter('auditor', { ...desktop, colorScheme: 'dark', locale: 'de-DE' });
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await go(page, 'Protokoll');
  await page.fill('#gateway', 'gw-a');
  await page.getByText('insgesamt').waitFor();
  assert.ok((await page.locator('section.card').count()) > 0);
  await accessible(page, 'admin audit, dark');
  await shot(page, 'admin-desktop-6-audit-dark-german');
  await go(page, 'Geräte');
  assert.equal(await page.getByRole('link', { name: 'Geräte importieren' }).count(), 0, 'an auditor is offered an import');
  await page.done();
});

test('health, tokens and roles', async () => {
  const page = await enter('admin', phone);
  await go(page, 'More');
  await page.getByRole('heading', { name: 'Store' }).waitFor();
  await page.getByRole('button', { name: 'New token' }).click();
  await page.fill('#name', 'night-shift');
  await page.getByRole('dialog').getByRole('button', { name: 'Make the token' }).click();
  const made = await page.locator('#made').textContent();
  await page.getByRole('button', { name: 'Close' }).click();
  await accessible(page, 'admin more');
  await shot(page, 'admin-phone-5-more');
  const other = await visit(phone);
  await other.fill('#token', made);
  await other.getByRole('button', { name: 'Log in' }).click();
  await other.getByText('night-shift (auditor)').waitFor();
  await card(page, 'night-shift').locator('summary').click();
  await card(page, 'night-shift').getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByText('night-shift is removed.').waitFor();
  await go(other, 'Users');
  await other.getByText('You have been logged out').waitFor({ timeout: 90000 });
  await shot(other, 'admin-phone-6-logged-out');
  await page.done();
});

test('the server goes away and comes back', async () => {
  const page = await enter('operator', phone);
  await go(page, 'Users');
  await card(page, 'alice').waitFor();
  await fleet.end('server', 'SIGKILL');
  await page.getByRole('button', { name: 'Add a user' }).click();
  await page.fill('#user', 'emil');
  await page.fill('#password', PASSWORD);
  await page.getByRole('dialog').getByRole('button', { name: 'Add a user' }).click();
  await page.locator('.net.off').waitFor();
  await shot(page, 'admin-phone-7-offline');
  await fleet.server();
  await page.getByText('emil is added.').waitFor({ timeout: 30000 });
  assert.equal(audit().filter((e) => e.user === 'emil').length, 1);
  await page.done();
});

test('a gateway that was approved is served', async () => {
  await fleet.served('gw-a'); // it asks every half minute, and was left alone meanwhile
});
