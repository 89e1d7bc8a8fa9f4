// The technician's page in a real Chromium, against a real gateway, server, broker and
// devices. Screenshots of what it shows go to SHOTS.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import encodeQR from 'qr';
import { accessible, desktop, figures, launch, phone, shot, visitor } from './browser.mjs';
import { PASSWORD, PIN, Rig, USER, until } from './rig.mjs';

let rig, browser, visiting;

before(async () => {
  rig = await Rig.start();
  rig.know('meter-0001', 'meter-0002', 'pump-0001', 'pump-0002', 'pump-0003', 'valve-0001', 'valve-0002', 'fan-0001', 'lamp-0001', 'lamp-0002', ...many(0, 70));
  browser = await launch();
  visiting = visitor(browser, rig.url, open);
});
after(async () => {
  await browser?.close();
  if (rig) await rig.stop();
  console.log(JSON.stringify(figures, null, 1));
});

const open = new Set();
afterEach(async () => {
  for (const c of open) await c.close();
  open.clear();
});

const many = (from, to) => Array.from({ length: to - from }, (_, i) => `unit-${String(from + i).padStart(4, '0')}`);

const visit = (options = phone, more) => visiting(options, more);

async function login(page, pin = PIN) {
  await page.fill('#pin', pin);
  await page.getByRole('button', { name: /Log in|Anmelden/ }).click();
}

async function enter(options, more) {
  const page = await visit(options, more);
  await login(page);
  await page.getByRole('heading', { level: 1, name: /Add a device|Gerät aufnehmen/ }).waitFor();
  return page;
}

async function add(page, id, user = USER, password = PASSWORD) {
  await page.getByRole('button', { name: 'Add ' + id, exact: true }).click();
  if (await page.locator('dialog').count()) {
    await page.fill('#user', user);
    await page.fill('#password', password);
    await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  }
}

async function type(page, text, user = USER, password = PASSWORD) {
  await page.getByRole('button', { name: 'Type it in' }).click();
  await page.fill('#device', text);
  await page.fill('#user', user);
  if (password) await page.fill('#password', password);
  await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click();
}

const card = (page, id) => page.getByRole('region', { name: id, exact: true });
const delivered = (page, id) => card(page, id).getByText('Delivered: the device has proved its key').waitFor();
const assignments = (id) => rig.run('cpns-server', ['audit', '--data', 'server', '--json']).split('\n').filter((l) => l.includes(`"${id}"`) && /assign/i.test(l));

test('from login to delivered, on a phone', async () => {
  rig.plug('meter-0001');
  rig.plug('meter-0002');
  let taps = 0;
  const page = await visit();
  await page.evaluate(() => document.addEventListener('click', (e) => e.isTrusted && (window.taps = (window.taps || 0) + 1), true));
  await accessible(page, 'login');
  await shot(page, 'phone-1-login');
  const begun = Date.now();
  await login(page);
  await page.getByRole('button', { name: 'Add meter-0002', exact: true }).waitFor();
  await shot(page, 'phone-2-found');
  await accessible(page, 'found');
  await page.getByRole('button', { name: 'Add meter-0001', exact: true }).click();
  await page.fill('#user', USER);
  await page.fill('#password', PASSWORD);
  await shot(page, 'phone-3-user');
  await accessible(page, 'dialog');
  await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  await delivered(page, 'meter-0001');
  figures.secondsFromLoginToDelivered = (Date.now() - begun) / 1000;
  figures.tapsFromLoginToDelivered = await page.evaluate(() => window.taps);
  await shot(page, 'phone-4-delivered');
  await accessible(page, 'delivered');
  const again = Date.now();
  await page.getByRole('button', { name: 'Add meter-0002', exact: true }).click(); // one tap
  await delivered(page, 'meter-0002');
  figures.secondsForTheNext = (Date.now() - again) / 1000;
  assert.equal(await page.evaluate(() => window.taps), figures.tapsFromLoginToDelivered + 1);
  assert.deepEqual(rig.list().filter((p) => p.entity_id.startsWith('meter')).map((p) => [p.entity_id, p.user, p.state, p.index]), [['meter-0001', USER, 'delivered', 1], ['meter-0002', USER, 'delivered', 1]]);
  assert.equal(await page.getByRole('button', { name: /^Add meter/ }).count(), 0, 'what has its keys is not offered again');
  await page.done();
});

test('with the keyboard alone, on a desktop, in German and in the dark', async () => {
  rig.plug('pump-0001');
  const page = await visit({ ...desktop, locale: 'de-DE', colorScheme: 'dark' });
  await accessible(page, 'dark login');
  await page.keyboard.type(PIN);
  await page.keyboard.press('Enter');
  const button = page.getByRole('button', { name: 'Aufnehmen pump-0001', exact: true });
  await button.waitFor();
  for (let i = 0; !(await button.evaluate((e) => e === document.activeElement)); i++) {
    assert.ok(i < 30, 'the button is reached by the keyboard');
    await page.keyboard.press('Tab');
  }
  await shot(page, 'desktop-1-found-dark-german');
  await page.keyboard.press('Enter');
  await page.keyboard.type(USER);
  await page.keyboard.press('Tab');
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press('Enter');
  await card(page, 'pump-0001').getByText('Übergeben: das Gerät hat seinen Schlüssel bewiesen').waitFor();
  await shot(page, 'desktop-2-delivered-dark-german');
  await accessible(page, 'dark');
  // What the gateway says about causes, too; what has no translation is marked as English.
  await page.getByRole('button', { name: 'Leitungen' }).or(page.getByRole('link', { name: 'Leitungen' })).first().click();
  const cause = page.getByText(/^Verbunden mit 127\.0\.0\.1:\d+ als /);
  await cause.waitFor();
  assert.equal(await cause.getAttribute('lang'), 'de');
  await page.goto(rig.url + '/#/more');
  await page.selectOption('#language', 'en');
  await page.getByRole('heading', { name: 'More' }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
  await page.selectOption('#look', 'light');
  await shot(page, 'desktop-3-more-light');
  await page.done();
});

test('what does not go well has words', async () => {
  rig.run('cpns-server', ['pne', 'import', '--data', 'server', rig.write('bob.csv', 'entity_id,tk,owner\nbobs-1,00112233445566778899aabbccddeeff,bob\n')]);
  const page = await enter();
  await type(page, 'nobody-0001');
  await card(page, 'nobody-0001').getByText('The server does not know this device.').waitFor();
  await type(page, 'bobs-1', USER, '');
  await card(page, 'bobs-1').getByText('belongs to somebody else').waitFor();
  await type(page, 'pump-0002', USER, 'not it');
  await card(page, 'pump-0002').getByText('The server does not know this user with this password').waitFor();
  await page.waitForFunction(() => scrollY === 0); // what was asked for last is at the top
  await shot(page, 'phone-5-refused');
  await accessible(page, 'refused');
  await rig.end('server');
  await type(page, 'pump-0002');
  await card(page, 'pump-0002').getByText('The server could not be asked.').waitFor();
  await shot(page, 'phone-6-no-server');
  await rig.server();
  rig.plug('pump-0002');
  await card(page, 'pump-0002').getByRole('button', { name: 'Try again' }).click();
  await delivered(page, 'pump-0002');
  await page.done();
});

let thousand;
// As fast as the server lets one gateway ask.
test('a thousand devices are asked for, beside all that follows', () => {
  const ids = many(1000, 1920);
  rig.know(...ids);
  thousand = [0, 1, 2, 3].map((k) => {
    const name = 'thousand-' + k;
    rig.write(name + '.csv', 'entity_id\n' + ids.filter((_, i) => i % 4 === k).join('\n') + '\n');
    rig.spawn(name, path.join(process.env.BIN, 'pngw'), ['--config', 'pngw.conf', 'provision', '--user', USER, '--password-file', 'password', '--csv', name + '.csv', '--wait', '0s', '--pace', '250ms']);
    return name;
  });
});

test('a label in bad form, and one of another maker', async () => {
  const page = await enter();
  const label = rig.pngw('label', '--text', 'pump-0003').trim();
  assert.match(label, /^CPNS:1:pump-0003:..$/);
  await type(page, label.replace('0003', 'O003'));
  await page.getByRole('alert').getByText('mistyped').waitFor();
  await shot(page, 'phone-7-mistyped');
  await accessible(page, 'mistyped');
  await page.getByRole('button', { name: 'Use pump-0003' }).click();
  assert.equal(await page.inputValue('#device'), 'pump-0003');
  await page.fill('#device', 'MT:Y.K9042C00KA0648G00');
  await page.fill('#password', PASSWORD);
  await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('alert').getByText('Matter').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(rig.list().some((p) => p.entity_id === 'pump-0003'), false, 'nothing was sent');
  await page.done();
});

// A film of a label, as a camera would see it: tilted a little, grey, not all of the picture,
// and with a thumb on it at first.
function film(text) {
  const code = encodeQR(text, 'raw', { border: 4 }), n = code.length, w = 640, h = 480, side = 360;
  const frame = (thumb) => {
  const y = Buffer.alloc(w * h, 90), u = Buffer.alloc((w * h) / 4, 128);
  for (let i = 0; i < h; i++) for (let j = 0; j < w; j++) {
    const a = 0.12, dx = j - w / 2, dy = i - h / 2;
    const x = Math.floor(((dx * Math.cos(a) + dy * Math.sin(a)) / side + 0.5) * n), z = Math.floor(((dy * Math.cos(a) - dx * Math.sin(a)) / side + 0.5) * n);
    if (x >= 0 && z >= 0 && x < n && z < n) y[i * w + j] = code[z][x] ? 50 : 190;
    if (thumb && Math.hypot(j - 170, i - 120) < 110) y[i * w + j] = 120;
  }
  return Buffer.concat([Buffer.from('FRAME\n'), y, u, u]);
  };
  return Buffer.concat([Buffer.from(`YUV4MPEG2 W${w} H${h} F10:1 Ip A1:1 C420\n`), ...Array(40).fill(frame(true)), ...Array(40).fill(frame(false))]);
}

test('a label by the camera', async () => {
  const text = rig.pngw('label', '--text', 'pump-0003').trim();
  const file = path.join(rig.dir, 'label.y4m');
  writeFileSync(file, film(text));
  const other = await launch('--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--use-file-for-fake-video-capture=' + file);
  try {
    const page = await enter({ ...phone, permissions: ['camera'] }, { from: other });
    const begun = Date.now();
    await page.getByRole('button', { name: 'Scan a label' }).click();
    await page.locator('video').waitFor();
    await page.waitForFunction(() => document.querySelector('video').currentTime > 0.3);
    await shot(page, 'phone-8-scan');
    await page.locator('dialog').getByText('pump-0003').waitFor();
    figures.secondsToReadALabel = (Date.now() - begun) / 1000;
    await page.fill('#user', USER);
    await page.fill('#password', PASSWORD);
    rig.plug('pump-0003');
    await page.locator('dialog').getByRole('button', { name: 'Add', exact: true }).click();
    await delivered(page, 'pump-0003');
    await page.done();
  } finally {
    await other.close();
  }
  const page = await enter(); // this one has no camera
  await page.getByRole('button', { name: 'Scan a label' }).click();
  await page.getByText('The camera cannot be used').waitFor();
  await shot(page, 'phone-9-no-camera');
  await page.locator('dialog').getByRole('button', { name: 'Type it in' }).click();
  await page.locator('#device').waitFor();
  await page.done();
});

test('offline and back, asleep and reloaded: the job is where it is', async () => {
  const page = await enter();
  await type(page, 'valve-0001');
  await card(page, 'valve-0001').getByText('Waiting for the device').waitFor();
  assert.equal(await page.evaluate(() => scrollY), 0, 'who wants no motion sees what was asked for at once');
  await shot(page, 'phone-10-waiting');
  await page.context().setOffline(true);
  await page.getByRole('alert').getByText('No connection to the gateway').waitFor();
  await shot(page, 'phone-11-offline');
  await accessible(page, 'offline');
  rig.plug('valve-0001'); // meanwhile
  await until('delivery', () => rig.list().some((p) => p.entity_id === 'valve-0001' && p.state === 'delivered'));
  await page.context().setOffline(false);
  await delivered(page, 'valve-0001');
  await page.getByText('Connected', { exact: true }).waitFor();
  await page.reload();
  await delivered(page, 'valve-0001');
  assert.equal(rig.list().find((p) => p.entity_id === 'valve-0001').index, 1);
  await page.done();
});

test('an answer that is lost: asked for again it is one job', async () => {
  const page = await enter();
  let asked = 0;
  await page.route('**/v1/jobs', async (route) => {
    asked++;
    if (asked < 3) {
      await route.fetch(); // it came to the gateway …
      return route.abort(); // … and its answer did not come back
    }
    return route.continue();
  });
  await type(page, 'valve-0002');
  await card(page, 'valve-0002').getByText('Waiting for the device').waitFor();
  await until('the page to be content', async () => !(await page.locator('dialog').count()));
  assert.equal(asked, 3);
  assert.equal(await card(page, 'valve-0002').count(), 1);
  const epochs = new Set(rig.list().filter((p) => p.entity_id === 'valve-0002').map((p) => p.epoch));
  assert.equal(epochs.size, 1);
  assert.equal(rig.log('pngw').match(/keys requested by the page/g).length >= 1, true);
  rig.plug('valve-0002');
  await delivered(page, 'valve-0002');
  await page.done();
});

test('the gateway is killed in mid-provisioning', async () => {
  const page = await enter();
  await type(page, 'fan-0001');
  await card(page, 'fan-0001').getByText('Waiting for the device').waitFor();
  await until('the phone to know of it', () => page.evaluate(() => (sessionStorage.getItem('mine') || '').includes('seen')));
  const { epoch } = rig.list().find((p) => p.entity_id === 'fan-0001');
  await rig.end('pngw', 'SIGKILL');
  await page.getByRole('alert').getByText('No connection to the gateway').waitFor();
  await rig.gateway();
  await page.getByText('You have been logged out').waitFor();
  await shot(page, 'phone-12-logged-out');
  await login(page);
  await page.getByText('Begun before the gateway began anew').waitFor();
  await page.getByText('The keys are sealed in the gateway.').waitFor();
  await shot(page, 'phone-13-after-restart');
  await accessible(page, 'after a restart');
  rig.plug('fan-0001');
  await page.locator('section').filter({ hasText: 'Begun before' }).getByText('Delivered').waitFor();
  assert.deepEqual(rig.list().filter((p) => p.entity_id === 'fan-0001').map((p) => [p.state, p.index, p.epoch]), [['delivered', 1, epoch]], 'the same set: nothing was asked for twice');
  await page.done();
});

test('two technicians at one device', async () => {
  const one = await enter(), two = await enter();
  await type(one, 'lamp-0001');
  await card(one, 'lamp-0001').getByText('Waiting for the device').waitFor();
  await card(two, 'lamp-0001').waitFor(); // who did nothing sees it
  await type(two, 'lamp-0001');
  await two.getByRole('alert').getByText('Somebody is adding this device right now').waitFor();
  await shot(two, 'phone-14-two-at-once');
  await two.getByRole('button', { name: 'Cancel' }).click();
  rig.plug('lamp-0001');
  await Promise.all([delivered(one, 'lamp-0001'), delivered(two, 'lamp-0001')]);
  await type(two, 'lamp-0001', USER, '');
  await two.getByRole('alert').getByText('has its keys already').waitFor();
  await shot(two, 'phone-15-has-keys');
  await two.getByRole('button', { name: 'New keys' }).click(); // it is meant
  await until('a new set', () => rig.list().find((p) => p.entity_id === 'lamp-0001').epoch > 0);
  await one.done();
  await two.done();
});

test('a device that was set back: alarm, and what to do', async () => {
  const id = 'lamp-0002';
  const page = await enter();
  rig.plug(id);
  await page.getByRole('button', { name: 'Add ' + id, exact: true }).waitFor();
  await add(page, id);
  await delivered(page, id);
  await card(page, id).getByRole('button', { name: 'Dismiss' }).click();
  const file = path.join(rig.dir, id + '.state');
  copyFileSync(file, file + '.old');
  rig.pngw('authenticate', id);
  await rig.end(id);
  copyFileSync(file + '.old', file);
  rig.plug(id);
  await page.getByRole('heading', { name: 'Alarm: ' + id }).waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await shot(page, 'phone-16-alarm');
  await accessible(page, 'alarm');
  await page.getByRole('button', { name: 'Let it in again' }).click();
  await shot(page, 'phone-17-confirm');
  await page.locator('dialog').getByRole('button', { name: 'Let it in again' }).click();
  await page.getByText('is let in again').waitFor();
  await page.getByRole('heading', { name: 'Alarm: ' + id }).waitFor({ state: 'detached' });
  await page.done();
});

test('a table of 100 rows, as a spreadsheet writes it', async () => {
  const there = many(0, 12);
  there.forEach((id) => rig.plug(id));
  const rows = [...many(0, 70).map((id) => `${id};;"Hall 2; north"`), ...many(0, 5).map((id) => `${id};;twice`), ...Array.from({ length: 15 }, (_, i) => `stranger-${i};;`), ...Array.from({ length: 8 }, (_, i) => `bad name ${i};;`), 'CPNS:1:unit-0001:ZZ;;', 'bobs-1;;'];
  assert.equal(rows.length, 100);
  const csv = '\ufeffentity_id;user;label\r\n' + rows.join('\r\n') + '\r\n';
  const page = await enter(desktop);
  await page.getByRole('button', { name: 'A table (CSV)' }).click();
  await page.setInputFiles('#file', { name: 'devices.csv', mimeType: 'text/csv', buffer: Buffer.from(csv) });
  await page.fill('#user', USER);
  await page.getByRole('button', { name: 'Look at it' }).click();
  await page.getByRole('heading', { name: '100 rows' }).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 100);
  assert.equal(await page.locator('tbody .tag').getByText('Twice').count(), 5);
  assert.equal(await page.locator('tbody .tag').getByText('Bad row').count(), 9);
  await shot(page, 'desktop-4-table-looked-at');
  await accessible(page, 'table');
  const begun = Date.now();
  await page.fill('#password0', PASSWORD);
  await page.getByRole('button', { name: 'Add 86 devices' }).click();
  const job = page.getByRole('region', { name: '100 devices for ' + USER });
  await job.getByText('12 of 100 delivered').waitFor({ timeout: 40000 });
  figures.secondsForATableOf100 = (Date.now() - begun) / 1000;
  await job.locator('summary').click();
  await shot(page, 'desktop-5-table-under-way');
  await accessible(page, 'table under way');
  await until('16 refused rows', async () => (await job.locator('.tag').getByText('Refused').count()) === 16);
  assert.equal(await job.locator('tbody .tag').getByText('Delivered').count(), 12);
  for (const [name, text, say] of [['big.csv', 'entity_id\n' + 'x\n'.repeat(3000), 'too big'], ['long.csv', 'x'.repeat(300 << 10), 'too big'], ['wrong.csv', 'name\nx\n', 'a column "name"']]) {
    await page.goto(rig.url + '/#/table');
    await page.setInputFiles('#file', { name, mimeType: 'text/csv', buffer: Buffer.from(text) });
    await page.getByRole('button', { name: 'Look at it' }).click();
    await page.getByRole('alert').getByText(say).waitFor();
  }
  await page.done();
});

test('a thousand devices in the list', async () => {
  await Promise.all(thousand.map(async (name) => assert.equal(await rig.children.get(name).over, 3, rig.log(name)))); // none of them is there to be delivered to
  for (const [name, options] of [['phone', phone], ['desktop', desktop]]) {
    const page = await enter(options);
    const begun = Date.now();
    await page.getByRole('link', { name: 'Devices' }).click();
    await page.getByText(/^\d+ of \d+$/).waitFor();
    if (name === 'phone') figures.secondsToListAThousand = (Date.now() - begun) / 1000;
    const n = Number((await page.getByText(/^\d+ of \d+$/).textContent()).split(' ').pop());
    assert.ok(n >= 970, `${n} devices`);
    await page.fill('#search', 'unit-17');
    await page.getByText(`100 of ${n}`).waitFor();
    await page.fill('#search', '');
    await page.getByRole('button', { name: /^Has its key \d+/ }).click();
    assert.equal(await page.getByRole('button', { name: /^Has its key/ }).getAttribute('aria-pressed'), 'true');
    await page.locator('summary', { hasText: 'meter-0001' }).click();
    await shot(page, name + '-list');
    if (name === 'phone') await accessible(page, 'list');
    await page.getByRole('button', { name: /^All/ }).click();
    for (let i = 0; (await page.getByRole('button', { name: /^Show \d+ more/ }).count()) && i < 5; i++) await page.getByRole('button', { name: /^Show \d+ more/ }).click();
    assert.equal(await page.locator('details.device').count(), n);
    await page.getByRole('link', { name: 'Links' }).click();
    await page.getByText('hall (mqtt)').waitFor();
    await shot(page, name + '-links');
    if (name === 'phone') await accessible(page, 'links');
    await page.done();
  }
});

test('nothing is loaded from elsewhere, and how soon it is there on a slow network', async () => {
  const context = await browser.newContext({ ...phone });
  const page = await context.newPage();
  const asked = [];
  page.on('request', (r) => asked.push(r.url()));
  const cdp = await context.newCDPSession(page);
  await cdp.send('Network.enable');
  let weight = 0;
  cdp.on('Network.loadingFinished', (e) => { weight += e.encodedDataLength; });
  await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 400, downloadThroughput: 50000, uploadThroughput: 50000 }); // 400 kbit/s, 400 ms: "slow 3G"
  await cdp.send('Emulation.setCPUThrottlingRate', { rate: 4 });
  const begun = Date.now();
  await page.goto(rig.url, { waitUntil: 'commit' });
  await page.waitForFunction(() => document.activeElement?.id === 'pin');
  figures.secondsToInteractiveOnSlow3G = (Date.now() - begun) / 1000;
  figures.bytesToInteractive = weight;
  assert.ok(asked.every((u) => u.startsWith(rig.url + '/')), asked.join());
  assert.ok(weight < 60000);
  const log = Date.now();
  await login(page);
  await page.getByRole('heading', { level: 1, name: 'Add a device' }).waitFor();
  figures.secondsToLogInThere = (Date.now() - log) / 1000;
  const keys = await page.evaluate(() => performance.getEntriesByType('resource').map((r) => r.name));
  assert.ok(keys.every((u) => u.startsWith(rig.url + '/')));
  await context.close();
});

test('a browser that trusts the gateway opens the page without a warning', async () => {
  rig.write('ca.pem', rig.pngw('web', 'ca'));
  const db = path.join(rig.dir, '.pki/nssdb');
  mkdirSync(db, { recursive: true });
  execFileSync('certutil', ['-d', 'sql:' + db, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', 'sql:' + db, '-A', '-t', 'C,,', '-n', 'gateway', '-i', path.join(rig.dir, 'ca.pem')]);
  const trusting = await launch({ HOME: rig.dir });
  try {
    const page = await (await trusting.newContext()).newPage();
    await page.goto(rig.url);
    await page.waitForSelector('#pin');
  } finally {
    await trusting.close();
  }
  const strict = await browser.newContext(); // this one does not
  await assert.rejects((await strict.newPage()).goto(rig.url), /ERR_CERT_AUTHORITY_INVALID/);
  await strict.close();
});

test('a browser of ten years ago, and one without JavaScript', async () => {
  const without = await launch('--blink-settings=scriptEnabled=false');
  try {
    const context = await without.newContext(phone), page = await context.newPage();
    await page.goto(rig.url);
    const cdp = await context.newCDPSession(page); // without JavaScript, Playwright cannot look either
    const { root } = await cdp.send('DOM.getDocument', { depth: -1 });
    const { nodeId } = await cdp.send('DOM.querySelector', { nodeId: root.nodeId, selector: 'noscript p' });
    const { model } = await cdp.send('DOM.getBoxModel', { nodeId });
    assert.ok(model.height > 20, 'the sentence is on the screen');
  } finally {
    await without.close();
  }
  // One that does not know modules sees what stands in the page until its script takes it away.
  const old = await browser.newContext(phone);
  const p = await old.newPage();
  await p.route('**/app.js*', (r) => r.fulfill({ status: 200, contentType: 'text/javascript', body: '' }));
  await p.goto(rig.url);
  const cdp = await old.newCDPSession(p);
  await cdp.send('Animation.enable');
  await cdp.send('Animation.setPlaybackRate', { playbackRate: 100 });
  await p.getByText('This page needs a browser of 2022 or later').waitFor();
  await shot(p, 'phone-old-browser');
  await old.close();
});

test('a wrong PIN, the lock, and the way out', async () => {
  const page = await visit();
  for (let i = 0; i < 4; i++) {
    await login(page, '00000' + i);
    await page.getByText('That is not the PIN').waitFor();
    if (i === 0) await shot(page, 'phone-18-wrong-pin');
  }
  await accessible(page, 'wrong PIN');
  await login(page, '000009');
  await page.getByText('Too many wrong PINs').waitFor();
  await shot(page, 'phone-19-locked');
  assert.ok(await page.getByRole('button', { name: 'Log in' }).isDisabled());
  const other = await visit(); // locked as well, with the right PIN
  await login(other);
  await other.getByText('Too many wrong PINs').waitFor();
  assert.match(rig.log('pngw'), /locked after too many wrong PINs/);
  rig.write('pin', '739104\n');
  rig.pngw('web', 'set-pin', '--pin-file', 'pin');
  await other.reload();
  await login(other, '739104');
  await other.getByRole('heading', { level: 1, name: 'Add a device' }).waitFor();
  // A session that is over, as after a night.
  rig.write('pin', PIN + '\n');
  rig.pngw('web', 'set-pin', '--pin-file', 'pin');
  await other.getByText('You have been logged out').waitFor();
  await page.done();
  await other.done();
});

test('no secret is where it does not belong', () => {
  const log = rig.log('pngw');
  for (const secret of [PASSWORD, PIN, '739104', readFileSync(path.join(rig.dir, 'psk1'), 'utf8').trim(), readFileSync(path.join(rig.dir, 'meter-0001.tk'), 'utf8').trim()])
    assert.ok(!log.includes(secret));
});
