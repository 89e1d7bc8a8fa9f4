// Makes what the programs embed, dist, out of the pages' sources, web:
//   node build.mjs           writes it
//   node build.mjs --check   says whether what is there is what it would write
// Each file is compressed; its address in the others has the hash of its content, so
// that a browser keeps what has not changed. What the pages share is in
// internal/webpage/web.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const top = process.env.TOP || here + '../..';
const most = 60000; // bytes of a page, compressed
const pages = [
  { folder: 'agent/api/page', parts: ['argon2.js', 'scan.js', 'de.js'] },
  { folder: 'cpns/server/admin/page', parts: ['de.js'] },
];

const stale = [];
for (const { folder, parts } of pages) {
  const web = `${top}/${folder}/web/`, dist = `${top}/${folder}/dist/`;
  const made = new Map();
  const hashed = (name) => `/${name}?${createHash('sha256').update(made.get(name)).digest('hex').slice(0, 8)}`;

  const bundle = async (name, inside = []) => {
    const out = await build({
      entryPoints: [web + name], bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, legalComments: 'inline', charset: 'utf8',
      nodePaths: [here + 'node_modules'], alias: { webpage: top + '/internal/webpage/web' }, external: parts.map((p) => '/' + p), logLevel: 'error',
    });
    let text = out.outputFiles[0].text;
    for (const other of inside) {
      const before = text;
      text = text.replaceAll(new RegExp(`(["'\`])/${other}\\1`, 'g'), `"${hashed(other)}"`);
      if (text === before) throw new Error(`${name} does not load ${other}`);
    }
    made.set(name, text);
  };
  for (const part of parts) await bundle(part);
  await bundle('app.js', parts);
  await bundle('app.css');
  made.set('icon.svg', readFileSync(web + 'icon.svg', 'utf8'));
  let html = readFileSync(web + 'index.html', 'utf8');
  for (const name of ['app.css', 'app.js', 'icon.svg']) html = html.replaceAll(`"/${name}"`, `"${hashed(name)}"`);
  made.set('index.html', html);

  let total = 0;
  mkdirSync(dist, { recursive: true });
  for (const [name, text] of made) {
    const gz = gzipSync(text, { level: 9 });
    total += gz.length;
    console.log(`${String(gz.length).padStart(7)}  ${folder}: ${name}`);
    if (!process.argv.includes('--check')) writeFileSync(dist + name + '.gz', gz);
    else if (gunzipSync(readFileSync(dist + name + '.gz')).toString() !== text) stale.push(`${folder}: ${name}`);
  }
  console.log(`${String(total).padStart(7)}  ${folder} in all, of ${most.toLocaleString('en')}`);
  if (total > most) throw new Error(`${folder}: the page is too heavy`);
}
if (stale.length) throw new Error(`not made of its sources: ${stale}: scripts/web.sh build`);
