// A real Chromium, and what a test looks at in it.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { chromium, devices } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shots = process.env.SHOTS;
mkdirSync(shots, { recursive: true });
export const figures = {};

export const phone = { ...devices['Pixel 7'], ignoreHTTPSErrors: true, locale: 'en-GB', reducedMotion: 'reduce' };
export const desktop = { viewport: { width: 1280, height: 860 }, ignoreHTTPSErrors: true, locale: 'en-GB', reducedMotion: 'reduce' };

export const launch = (...args) => chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', ...args.filter((a) => typeof a === 'string')],
  env: { ...process.env, ...args.find((a) => typeof a === 'object') },
});

// visitor makes the function that opens a page, as one person's device; whatever the browser
// complains of is a fault. open has what afterwards is to be closed.
export const visitor = (browser, url, open) => async (options, { from = browser, allow = [] } = {}) => {
  const context = await from.newContext(options);
  context.setDefaultTimeout(25000);
  open.add(context);
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (e) => page.faults.push(String(e)));
  page.on('console', (m) => {
    if (['error', 'warning'].includes(m.type()) && !/status of 4\d\d|net::ERR_/.test(m.text()) && !allow.some((a) => m.text().includes(a))) page.faults.push(m.text());
  });
  page.done = async () => {
    await context.close();
    assert.deepEqual(page.faults, []);
  };
  await page.goto(url);
  await page.waitForSelector('#app:not([hidden])');
  return page;
};

// shot keeps what is on the screen, once nothing moves there: a picture that is taken while
// the page scrolls is cut.
export async function shot(page, name) {
  await page.waitForTimeout(60);
  await page.evaluate(async () => {
    const frame = () => new Promise(requestAnimationFrame);
    for (let still = 0, y = scrollY; still < 5; still = scrollY === y ? still + 1 : 0) {
      y = scrollY;
      await frame();
    }
  });
  await page.screenshot({ path: path.join(shots, name + '.png'), scale: 'css' });
}

// accessible holds what is on the screen to axe: nothing that is serious.
export async function accessible(page, what) {
  // Evaluated by the debugger, which the page's policy does not bind.
  const { violations } = await page.evaluate(axe + `;axe.run(document, { resultTypes: ['violations'] })`);
  figures.axe ??= {};
  figures.axe[what] = violations.map((v) => `${v.impact}: ${v.id}`);
  const bad = violations.filter((v) => ['serious', 'critical', 'moderate'].includes(v.impact));
  assert.deepEqual(bad.map((v) => [v.id, v.impact, v.nodes.map((n) => n.html)]), [], what);
}
