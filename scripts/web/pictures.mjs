// Makes the pictures of the guides out of screenshots: TOP/docs/page/NAME.webp, smaller
// and compressed, by the browser that took them.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const pictures = {
  login: 'phone-1-login', found: 'phone-2-found', user: 'phone-3-user', delivered: 'phone-4-delivered',
  mistyped: 'phone-7-mistyped', scan: 'phone-8-scan', waiting: 'phone-10-waiting', offline: 'phone-11-offline',
  refused: 'phone-5-refused', alarm: 'phone-16-alarm', table: 'desktop-5-table-under-way',
};

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage();
let all = 0;
for (const [name, shot] of Object.entries(pictures)) {
  const png = readFileSync(path.join(process.env.SHOTS, shot + '.png')).toString('base64');
  const webp = await page.evaluate(async (data) => {
    const image = new Image();
    image.src = 'data:image/png;base64,' + data;
    await image.decode();
    const width = image.width > 800 ? 640 : 340, canvas = document.createElement('canvas');
    // A phone's whole page may be long: what one sees at first is enough.
    const tall = Math.min(image.height, image.width * 2.1);
    canvas.width = width;
    canvas.height = Math.round(tall * width / image.width);
    const to = canvas.getContext('2d');
    to.imageSmoothingQuality = 'high';
    to.drawImage(image, 0, 0, image.width, tall, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL('image/webp', 0.75).split(',')[1];
  }, png);
  const bytes = Buffer.from(webp, 'base64');
  all += bytes.length;
  writeFileSync(path.join(process.env.TOP, 'docs/page', name + '.webp'), bytes);
}
await browser.close();
console.log(`${Object.keys(pictures).length} pictures, ${all} bytes`);
