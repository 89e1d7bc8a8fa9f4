// LuCI's pages in a real Chromium, over a stand-in of LuCI and rpcd (luci-router.mjs,
// luci-runtime.js), against a real gateway, server, broker and devices. Screenshots of
// what they show go to SHOTS.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { chromium, devices } from 'playwright-core';
import { Router } from './luci-router.mjs';
import { PASSWORD, Rig, USER, until } from './rig.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.env.SHOTS;
mkdirSync(shots, { recursive: true });

const phone = { ...devices['Pixel 7'], reducedMotion: 'reduce' };
const desktop = { viewport: { width: 1200, height: 900 }, reducedMotion: 'reduce' };
const owner = { 'luci-app-pngw': 'write', 'luci-app-pngw-settings': 'write' };
const hostile = '<s>it&amp;\'s';

let rig, router, browser;
before(async () => {
  rig = await Rig.start();
  rig.reload = async () => rig.children.get('pngw').kill('SIGHUP');
  rig.know('meter-0001', 'meter-0002', 'pump-0001', 'pump-0002', 'pump-0003', hostile);
  router = await Router.start(rig);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
});
after(async () => {
  await browser?.close();
  await router?.stop();
  if (rig) await rig.stop();
});

const open = new Set();
afterEach(async () => {
  for (const c of open) for (const p of c.pages()) console.log(p.url(), p.faults); // of a test that failed
  for (const c of open) await c.close();
  open.clear();
});

// visit opens a page as one who has these rights; whatever the browser complains of is a fault.
async function visit(view, { rights = owner, size = desktop, lang = '' } = {}) {
  const context = await browser.newContext(size);
  context.setDefaultTimeout(25000);
  open.add(context);
  await context.addCookies([{ name: 'session', value: router.login(rights), url: router.url }]);
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (e) => page.faults.push(String(e)));
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && page.faults.push(m.text()));
  page.on('dialog', (d) => { page.faults.push('a device ran a script: ' + d.message()); d.dismiss(); });
  page.at = (v) => page.goto(`${router.url}/admin/services/pngw/${v}${lang && '?lang=' + lang}`);
  page.done = async () => {
    await context.close();
    assert.deepEqual(page.faults, []);
  };
  page.row = (id) => page.locator('tr', { hasText: id });
  await page.at(view);
  return page;
}

async function shot(page, name) {
  await page.screenshot({ path: path.join(shots, `luci-${name}.png`), fullPage: true });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run('#view', { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map((v) => `${v.impact} ${v.id}: ${v.nodes[0].html}`), [], name);
}

// take fills the form in and sends it.
async function take(page, { more = '', user = USER, password = PASSWORD } = {}) {
  await page.getByLabel(/Other devices|Andere Geräte/).fill(more);
  await page.getByLabel(/^(User|Benutzer)/).fill(user);
  await page.getByLabel(/^(Password|Passwort)/).fill(password);
  await page.getByRole('button', { name: /^(Take in|Aufnehmen)$/ }).click();
}

test('takes devices in: chosen, by label, one that the server does not know, one with a hostile name', async () => {
  for (const id of ['meter-0001', hostile]) rig.plug(id);
  const label = rig.run('pngw', ['label', 'meter-0002', '--text']).trim();
  const page = await visit('provision', { size: phone });
  await page.getByLabel('Choose meter-0001').check();
  await page.getByLabel(`Choose ${hostile}`).check();
  await shot(page, 'provision-phone');
  await take(page, { more: `${label}\nnobody\n${label.slice(0, -1)}${label.endsWith('0') ? '1' : '0'}` });
  await page.row('meter-0001').getByText('Delivered').waitFor();
  await page.row(hostile).getByText('Delivered').waitFor();
  await page.row('meter-0002').getByText('Its keys are here').waitFor();
  await page.row('nobody').getByText('The server does not know this device').waitFor();
  await page.getByText('is mistyped').waitFor();
  await shot(page, 'provisioned-phone');
  assert.equal((await page.getByLabel('Other devices').inputValue()).split('\n').length, 2, 'what was taken in is still in the field');
  assert.ok(!router.argv.includes(PASSWORD));
  rig.plug('meter-0002'); // which was waited for
  await page.row('meter-0002').getByText('Delivered').waitFor();
  await page.done();
  assert.equal(rig.list().find((d) => d.entity_id === 'meter-0002').state, 'delivered');
});

test('the hash of a password is in no argument, environment or answer', async () => {
  const page = await visit('provision');
  let hash;
  page.on('request', (r) => { hash ??= /"password_hash":"([0-9a-f]{64})"/.exec(r.postData() ?? '')?.[1]; });
  const answers = [];
  page.on('response', async (r) => r.url().endsWith('/ubus') && answers.push(await r.text().catch(() => '')));
  await take(page, { more: 'pump-0001' });
  await page.row('pump-0001').getByText('Its keys are here').waitFor();
  assert.match(hash ?? '', /^[0-9a-f]{64}$/);
  assert.ok(router.argv.includes('provision') && !router.argv.includes(hash) && !answers.join().includes(hash) && !rig.log('pngw').includes(hash));
  await page.done();
});

test('a wrong password is tried once, and not for each device', async () => {
  const page = await visit('provision');
  await take(page, { more: 'pump-0002\npump-0003\nnobody-1\nnobody-2\nnobody-3\nnobody-4', user: 'bob', password: 'wrong' });
  await page.row('pump-0002').getByText('does not know this user with this password').waitFor();
  await page.row('nobody-4').getByText('Not asked for').waitFor();
  await shot(page, 'wrong-password');
  // Nine more wrong ones would lock bob.
  await take(page, { more: 'pump-0002', user: 'bob', password: PASSWORD });
  await page.row('pump-0002').getByText('Its keys are here').waitFor();
  await page.done();
});

test('a device that has its keys is not given new ones by the way', async () => {
  const page = await visit('provision');
  const epoch = () => rig.list().find((d) => d.entity_id === 'meter-0001').epoch;
  const had = epoch();
  await take(page, { more: 'meter-0001' });
  await page.row('meter-0001').getByText('Has its keys already').waitFor();
  assert.equal(epoch(), had);
  await page.getByRole('button', { name: 'New keys: meter-0001' }).click();
  await page.row('meter-0001').getByText('Delivered').waitFor();
  assert.ok(epoch() > had);
  await page.done();
});

test('lists devices, finds them, proves one, forgets one', async () => {
  const page = await visit('devices');
  await page.row('meter-0001').getByText('Has its key').waitFor();
  await shot(page, 'devices');
  await page.getByLabel('Search').fill('pump');
  await page.getByText(/^2 of 5 devices$/).waitFor();
  await page.getByLabel('State').selectOption('delivered');
  await page.getByText('No device fits.').waitFor();
  await page.getByLabel('State').selectOption('');
  await page.getByLabel('Search').fill('');
  await page.getByRole('button', { name: 'Check: meter-0001' }).click();
  await page.getByText('meter-0001 has proved its key.').waitFor();
  await page.getByRole('button', { name: 'Forget: pump-0001' }).click();
  await page.getByRole('dialog').getByText('Delete the keys of pump-0001').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Keep' }).click();
  assert.ok(rig.list().some((d) => d.entity_id === 'pump-0001'));
  await page.getByRole('button', { name: 'Forget: pump-0001' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Forget' }).click();
  await until('the device to be forgotten', () => !rig.list().some((d) => d.entity_id === 'pump-0001'));
  await page.getByText(/^4 of 4 devices$/).waitFor();
  await page.done();
});

test('a device that was set back: alarm, let in again, new keys', async () => {
  const id = 'pump-0003', file = path.join(rig.dir, id + '.state');
  rig.plug(id);
  const page = await visit('provision');
  await page.getByLabel('Choose ' + id).check();
  await take(page);
  await page.row(id).getByText('Delivered').waitFor();
  const setBack = async () => {
    copyFileSync(file, file + '.old');
    rig.pngw('authenticate', id);
    await rig.end(id);
    copyFileSync(file + '.old', file);
    rig.plug(id);
    await until('the alarm', () => rig.list().find((d) => d.entity_id === id).state === 'alarm');
  };
  await setBack();
  await page.at('devices');
  await page.getByText('Alarm: ' + id).waitFor();
  await shot(page, 'alarm');
  await page.getByRole('button', { name: 'Let it in again: ' + id }).click();
  await page.getByText('is let in again').waitFor();
  await page.getByText('Alarm: ' + id).waitFor({ state: 'detached' });
  await until('the next key', () => rig.list().find((d) => d.entity_id === id).state === 'delivered');
  await setBack();
  const epoch = () => rig.list().find((d) => d.entity_id === id).epoch, had = epoch();
  await page.getByRole('link', { name: 'New keys' }).click();
  await page.getByLabel('User').fill(USER);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Take in' }).click();
  await page.getByRole('button', { name: 'New keys: ' + id }).click();
  await page.row(id).getByText('Delivered').waitFor();
  assert.ok(epoch() > had);
  await page.done();
});

test('a configuration with a mistake is not applied, and the mistake has its section', async () => {
  const page = await visit('settings');
  const file = () => readFileSync(path.join(rig.dir, 'pngw.conf'), 'utf8');
  const was = file();
  await page.getByRole('textbox', { name: 'Add a link' }).fill('attic');
  await page.getByRole('button', { name: 'Add a link' }).click();
  await page.getByRole('dialog').getByLabel('Type').selectOption('mqtt');
  await page.getByRole('dialog').getByLabel('Broker', { exact: true }).fill('mqtt://127.0.0.1:99999');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('button', { name: 'Save & Apply' }).click();
  await page.getByRole('dialog').getByText('link attic: option url: the port must be 1 to 65535').waitFor();
  await page.screenshot({ path: path.join(shots, 'luci-settings-wrong.png') });
  assert.equal(await page.getByRole('button', { name: 'Apply all the same' }).count(), 0);
  await page.getByRole('dialog').getByRole('button', { name: 'Back' }).click();
  assert.deepEqual([router.applied, file()], [0, was]);

  // What only has to be brought can be applied before it is here.
  await page.getByRole('button', { name: 'Edit attic' }).click();
  await page.getByRole('dialog').getByLabel('Broker', { exact: true }).fill(`mqtts://127.0.0.1:${rig.brokerPort}`);
  await page.getByRole('dialog').getByLabel('CA of the broker').fill('/nowhere/ca.pem');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('button', { name: 'Save & Apply' }).click();
  await page.getByRole('dialog').getByText('link attic: option ca: /nowhere/ca.pem: no such file or directory').waitFor();
  await page.getByRole('button', { name: 'Apply all the same' }).waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Back' }).click();

  await page.getByRole('button', { name: 'Edit attic' }).click();
  await page.getByRole('dialog').getByLabel('Broker', { exact: true }).fill(`mqtt://127.0.0.1:${rig.brokerPort}`);
  await page.getByRole('dialog').getByLabel('CA of the broker').fill('');
  await page.getByRole('dialog').getByLabel('Topics begin with').fill('attic');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('button', { name: 'Save & Apply' }).click();
  await until('the configuration', () => file().includes("option prefix 'attic'"));
  await page.getByText('Settings of the PN gateway').waitFor();
  await shot(page, 'settings');
  await page.at('links');
  await page.row('attic').getByText('Up').waitFor();
  await shot(page, 'links');
  await page.done();
});

test('what is wrong with the configuration as it is stands on top', async () => {
  const was = readFileSync(path.join(rig.dir, 'pngw.conf'), 'utf8');
  rig.write('pngw.conf', `${was}\nconfig link 'cellar'\n\toption type 'serial'\n\toption device '/dev/ttyS0'\n\toption baud '9601'\n`);
  try {
    const page = await visit('settings');
    await page.getByText('The configuration is wrong').waitFor();
    await page.getByText('link cellar: option baud: 9601').waitFor();
    await page.done();
  } finally {
    rig.write('pngw.conf', was);
  }
});

test('what is mistyped in a field is refused there', async () => {
  const page = await visit('settings');
  await page.getByLabel('CPNS Server').fill('http://cpns.example.net');
  await page.getByRole('button', { name: 'Save & Apply' }).click();
  await page.getByText('https:// and the server\'s name, please').waitFor();
  page.faults = page.faults.filter((f) => !f.includes('CPNS Server: https://')); // the runtime says so, too
  await page.done();
});

test('who may only look does', async () => {
  const page = await visit('provision', { rights: { 'luci-app-pngw': 'read' } });
  await page.getByText('You may look').waitFor();
  assert.equal(await page.getByRole('button').count() + await page.getByRole('textbox').count(), 0);
  assert.equal(await page.getByRole('link', { name: 'Settings' }).count(), 0);
  await page.at('devices');
  await page.row('meter-0001').waitFor();
  assert.equal(await page.getByRole('button').count(), 0);
  await page.at('status');
  await page.getByText('gw-hall-2').waitFor();
  assert.equal(await page.getByRole('button').count(), 0);
  const tries = ['salt', 'provision', 'authenticate', 'readmit', 'forget', 'enrol', 'service', 'check'];
  const said = await page.evaluate((names) => L.require('pngw.gateway').then((g) => Promise.all(names.map((n) =>
    n === 'salt' ? g.hashPassword('alice', 'x').catch((e) => e.message) : g[n]('alice').catch((e) => e.message)))), tries);
  for (const [i, text] of said.entries()) assert.match(String(text), /Access denied/, tries[i]);
  assert.equal((await page.goto(`${router.url}/admin/services/pngw/settings`)).status(), 403);
  page.faults = page.faults.filter((f) => !f.includes('status of 403'));
  await page.done();
});

test('enrols a gateway by a code, and a mistyped one stays in its field', async () => {
  const lone = { dir: path.join(rig.dir, 'lone') };
  mkdirSync(lone.dir, { mode: 0o700 });
  rig.write('lone/pngw.conf', `config gateway 'main'\n` + Object.entries({ psk_file: 'psk1', root_key: 'root.key', store: 'keys', socket: 'pngw.sock', audit_dir: 'audit' })
    .map(([name, file]) => `\toption ${name} '${lone.dir}/${file}'\n`).join(''));
  rig.run('pngw', ['--config', `${lone.dir}/pngw.conf`, 'init']);
  rig.spawn('lone', path.join(process.env.BIN, 'pngw'), ['run', '--config', `${lone.dir}/pngw.conf`]);
  const code = /CPNS1-[A-Z0-9-]+/.exec(rig.run('cpns-server', ['gateway', 'invite', '--data', 'server', '--server', `127.0.0.1:${rig.serverPort}`]))[0];
  const served = router;
  router = await Router.start(lone);
  try {
    const page = await visit('status', { size: phone });
    await page.getByText('This gateway has no name yet').waitFor();
    await shot(page, 'enrol-phone');
    const field = page.getByLabel('The code that the server');
    const wrong = code.slice(0, -1) + (code.endsWith('A') ? 'B' : 'A');
    await field.fill(wrong);
    await page.getByRole('button', { name: 'Enrol' }).click();
    await page.getByText('is mistyped').waitFor();
    await page.waitForResponse((r) => r.url().endsWith('/ubus')); // it is drawn anew
    assert.equal(await field.inputValue(), wrong);
    await field.fill(code);
    await page.getByRole('button', { name: 'Enrol' }).click();
    await page.getByText(/enrolled as gw-/).waitFor();
    assert.ok(!router.argv.includes(code));
    await page.done();
  } finally {
    await router.stop();
    router = served;
    await rig.end('lone');
  }
});

test('in German', async () => {
  const page = await visit('status', { lang: 'de', size: phone });
  await page.getByText('läuft seit').waitFor();
  await shot(page, 'status-de-phone');
  await page.at('provision');
  await take(page, { more: 'niemand' });
  await page.row('niemand').getByText('Der Server kennt dieses Gerät nicht').waitFor();
  await shot(page, 'provision-de-phone');
  await page.done();
});

test('says that the agent is not there, and goes on when it is', async () => {
  const page = await visit('status');
  await page.getByText('gw-hall-2').waitFor();
  await shot(page, 'status');
  await rig.end('pngw');
  await page.getByText('the agent is not running').waitFor();
  await page.getByRole('button', { name: 'Start' }).waitFor();
  await shot(page, 'status-away');
  await rig.gateway();
  await page.getByText('gw-hall-2').waitFor();
  await page.done();
});
