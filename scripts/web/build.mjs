// Makes agent/api/page/dist, which pngw embeds, out of agent/api/page/web:
//   node build.mjs           writes it
//   node build.mjs --check   says whether what is there is what it would write
// Each file is compressed; its address in the others has the hash of its content, so
// that a phone keeps what has not changed.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { build, transform } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const page = process.env.PAGE || here + '../../agent/api/page';
const web = page + '/web/';
const dist = page + '/dist/';

const made = new Map();
const hashed = (name) => `/${name}?${createHash('sha256').update(made.get(name)).digest('hex').slice(0, 8)}`;

async function script(name, replace = []) {
  const out = await build({
    entryPoints: [web + name], bundle: true, minify: true, format: 'esm', target: 'es2022', write: false,
    legalComments: 'inline', charset: 'utf8', nodePaths: [here + 'node_modules'], external: ['/argon2.js', '/scan.js', '/de.js'], logLevel: 'error',
  });
  let text = out.outputFiles[0].text;
  for (const other of replace) {
    const before = text;
    text = text.replaceAll(new RegExp(`(["'\`])/${other}\\1`, 'g'), `"${hashed(other)}"`);
    if (text === before) throw new Error(`${name} does not load ${other}`);
  }
  made.set(name, text);
}

await script('argon2.js');
await script('scan.js');
await script('de.js');
await script('app.js', ['argon2.js', 'scan.js', 'de.js']);
made.set('app.css', (await transform(readFileSync(web + 'app.css', 'utf8'), { loader: 'css', minify: true, charset: 'utf8' })).code);
made.set('icon.svg', readFileSync(web + 'icon.svg', 'utf8'));
let html = readFileSync(web + 'index.html', 'utf8');
for (const name of ['app.css', 'app.js', 'icon.svg']) html = html.replaceAll(`"/${name}"`, `"${hashed(name)}"`);
made.set('index.html', html);

let total = 0, stale = [];
mkdirSync(dist, { recursive: true });
for (const [name, text] of made) {
  const gz = gzipSync(text, { level: 9 });
  total += gz.length;
  console.log(`${String(gz.length).padStart(7)}  ${name}`);
  if (!process.argv.includes('--check')) writeFileSync(dist + name + '.gz', gz);
  else if (gunzipSync(readFileSync(dist + name + '.gz')).toString() !== text) stale.push(name);
}
console.log(`${String(total).padStart(7)}  in all, of 60,000`);
if (total > 60000) throw new Error('the page is too heavy');
if (stale.length) throw new Error(`not made of its sources: ${stale}: npm --prefix scripts/web run build`);
