// The description of the admin API, by a validator of OpenAPI 3.1 that is not ours, and
// what the real server answers, by the schemas in it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { Fleet } from './fleet.mjs';

let fleet, ca, document;

before(async () => {
  fleet = await Fleet.start();
  ca = readFileSync(path.join(fleet.dir, 'server/ca.pem'));
  document = (await ask('GET', '/admin/v1/openapi.json', null)).body;
});
after(() => fleet?.stop());

const ask = (method, at, role = 'admin', body) => new Promise((done, failed) => {
  const headers = role ? { Authorization: 'Bearer ' + fleet.tokens[role] } : {};
  if (body) headers['Content-Type'] = 'application/json';
  const r = https.request(fleet.url + at, { method, ca, headers }, (res) => {
    let text = '';
    res.on('data', (d) => { text += d; }).on('end', () => done({ status: res.statusCode, type: res.headers['content-type'], body: text && JSON.parse(text) }));
  });
  r.on('error', failed);
  r.end(body && JSON.stringify(body));
});

test('the description is OpenAPI 3.1', async () => {
  const validator = new Validator();
  const found = await validator.validate(structuredClone(document));
  assert.deepEqual(found.errors ?? [], []);
  assert.equal(found.valid, true);
  assert.equal(validator.version, '3.1');
});

test('answers are as it says', async () => {
  const ajv = new Ajv({ strict: false, allErrors: true });
  formats(ajv);
  ajv.addSchema(document, 'api');
  const pointer = (...parts) => 'api#/' + parts.map((p) => encodeURIComponent(p.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
  let looked = 0;
  const hold = async (method, template, at, role, body) => {
    const got = await ask(method, at, role, body);
    let response = document.paths[template][method.toLowerCase()].responses[got.status];
    assert.ok(response, `${method} ${at}: ${got.status} is not described`);
    let where = ['paths', template, method.toLowerCase(), 'responses', String(got.status)];
    if (response.$ref) {
      where = response.$ref.slice(2).split('/');
      response = document.components.responses[where.at(-1)];
    }
    if (!response.content) return assert.equal(got.body, '', `${method} ${at}`);
    const [type] = Object.keys(response.content);
    assert.equal(got.type, type, `${method} ${at}`);
    const right = ajv.compile({ $ref: pointer(...where, 'content', type, 'schema') });
    assert.ok(right(got.body), `${method} ${at}: ${JSON.stringify(right.errors)} in ${JSON.stringify(got.body)}`);
    looked++;
  };
  const v1 = '/admin/v1';
  const fingerprints = await fleet.knock(['gw-open']);
  await hold('POST', v1 + '/users', v1 + '/users', 'operator', { user: 'dora', password: 'correct horse' });
  await hold('POST', v1 + '/invitations', v1 + '/invitations', 'operator', { valid_seconds: 3600 });
  await hold('PUT', v1 + '/pnes/{pne}/owner', v1 + '/pnes/meter-00001/owner', 'operator', { owner: 'dora' });
  await hold('POST', v1 + '/pnes/import', v1 + '/pnes/import', 'operator', { rows: [{ line: 2, entity_id: 'x', tk: 'zz' }] });
  await hold('POST', v1 + '/tokens', v1 + '/tokens', 'admin', { name: 'new', role: 'auditor', valid_seconds: 3600 });
  for (const [template, methods] of Object.entries(document.paths)) {
    if (methods.get && !template.includes('{')) await hold('GET', template, template, 'admin');
  }
  await hold('POST', v1 + '/enrolments/approve', v1 + '/enrolments/approve', 'operator', { fingerprint: fingerprints['gw-open'] });
  await hold('GET', v1 + '/gateways', v1 + '/gateways', 'auditor');
  await hold('GET', v1 + '/pnes/{pne}', v1 + '/pnes/meter-00001', 'auditor');
  await hold('GET', v1 + '/users/{user}', v1 + '/users/dora', 'auditor');
  // Refusals.
  await hold('DELETE', v1 + '/users/{user}', v1 + '/users/dora', 'operator');
  await hold('DELETE', v1 + '/users/{user}', v1 + '/users/dora', 'auditor');
  await hold('GET', v1 + '/users', v1 + '/users', null);
  await hold('GET', v1 + '/pnes/{pne}', v1 + '/pnes/none', 'auditor');
  await hold('POST', v1 + '/users', v1 + '/users', 'operator', { nonsense: 1 });
  await hold('POST', v1 + '/enrolments/approve', v1 + '/enrolments/approve', 'operator', { fingerprint: fingerprints['gw-open'] });
  assert.ok(looked > 20, `${looked} answers were looked at`);
});
