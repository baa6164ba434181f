import { gzipSync } from 'node:zlib';
import { pathOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ask, randomId } from '../support/protocol-client.ts';
import { head, RawConnection, rawAsk } from '../support/raw-http.ts';
import { Tenants } from '../support/tenants.ts';

let tenants: Tenants;
let host: string;
let authorization: string;

beforeAll(async () => {
  tenants = await Tenants.create();
  host = `host: ${new URL(tenants.url).host}`;
  authorization = `authorization: Bearer ${tenants.a.token}`;
});
afterAll(() => tenants[Symbol.asyncDispose]());

const JSON_TYPE = 'content-type: application/json';
const POST = 'POST /v1/seen';

describe('TN-14, TN-15 what is not HTTP, or too much of it', () => {
  const malformed: [name: string, request: () => string][] = [
    [
      'length and chunks',
      () => head(POST, [host, authorization, JSON_TYPE, 'content-length: 2', 'transfer-encoding: chunked']),
    ],
    ['two lengths', () => head(POST, [host, authorization, JSON_TYPE, 'content-length: 2', 'content-length: 3'])],
    ['a list of lengths', () => head(POST, [host, authorization, JSON_TYPE, 'content-length: 2, 2'])],
    ['a negative length', () => head(POST, [host, authorization, JSON_TYPE, 'content-length: -1'])],
    ['a length in hex', () => head(POST, [host, authorization, JSON_TYPE, 'content-length: 0x2'])],
    ['a space before the colon', () => head(POST, [host, 'content-length : 2'])],
    [
      'a chunk that is none',
      () => `${head(POST, [host, authorization, JSON_TYPE, 'transfer-encoding: chunked'])}zz\r\n{}\r\n`,
    ],
    [
      'chunked twice',
      () => head(POST, [host, authorization, JSON_TYPE, 'transfer-encoding: chunked, chunked, identity']),
    ],
    ['no Host', () => head('GET /v1/account', [authorization])],
    ['a line break in a name', () => head('GET /v1/account', [host, 'x\n-y: 1'])],
    ['a NUL in a value', () => head('GET /v1/account', [host, 'x-y: a\0b'])],
    ['a folded line', () => head('GET /v1/account', [host, 'x-y: a', ' b'])],
    ['another version', () => `GET /v1/account HTTP/9.9\r\n${host}\r\n\r\n`],
    ['a first line that is none', () => 'GET /v1/account x HTTP/1.1\r\n\r\n'],
  ];
  it.each(malformed)('TN-14 %s: 400, and the connection ends', async (_, request) => {
    using connection = await RawConnection.to(tenants.url);
    const answer = await connection.write(request()).answer();
    expect([answer.status, answer.headers['content-type']]).toEqual([400, 'application/problem+json']);
    expect(answer.body).not.toMatch(/node_modules|\bat \/|HPE_|SELECT/);
    if (answer.headers['connection'] === 'close') await connection.closed();
  });

  it('TN-14 a request smuggled behind such a body is never answered', async () => {
    using connection = await RawConnection.to(tenants.url);
    const smuggled = head('GET /health/live', [host]);
    const lengths = ['content-length: 5', 'transfer-encoding: chunked'];
    connection.write(`${head(POST, [host, authorization, JSON_TYPE, ...lengths])}0\r\n\r\n${smuggled}`);
    expect((await connection.answer()).status).toBe(400);
    await connection.closed();
    await expect(connection.answer(100)).rejects.toThrow('closed after ""');
  });

  it.each([
    ['17 KiB of headers', () => [`x-long: ${'a'.repeat(17 * 1024)}`]],
    ['101 headers', () => Array.from({ length: 100 }, (_, index) => `x-${index}: 1`)],
    ['2,000 headers', () => Array.from({ length: 2000 }, () => 'x: 1')],
  ])('TN-15 %s: 431', async (_, more) => {
    const answer = await rawAsk(tenants.url, head('GET /v1/account', [host, authorization, ...more()]));
    expect([answer.status, JSON.parse(answer.body).code]).toEqual([431, 'header-too-large']);
  });
});

describe('TN-16, TN-17, TN-18 bodies', () => {
  const mandateRefs = [randomId(32)];
  const good = JSON.stringify({ mandateRefs });
  const bomb = () => gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '));
  const cases: [
    id: string,
    name: string,
    status: number,
    body: () => string | Buffer,
    headers?: Record<string, string>,
  ][] = [
    ['TN-16', 'malformed JSON', 400, () => '{"mandateRefs":'],
    ['TN-16', 'JSON with something after it', 400, () => `${good} x`],
    ['TN-16', 'JSON over its limit', 413, () => `{"x":"${'a'.repeat(1024 * 1024)}"}`],
    ['TN-16', 'a gzip bomb', 413, bomb, { 'content-encoding': 'gzip' }],
    ['TN-16', 'gzip that is none', 400, () => 'not gzip', { 'content-encoding': 'gzip' }],
    ['TN-16', 'gzip cut short', 400, () => gzipSync(good).subarray(0, 20), { 'content-encoding': 'gzip' }],
    ['TN-16', 'another charset', 415, () => good, { 'content-type': 'application/json; charset=foo' }],
    [
      'TN-16',
      'UTF-16',
      415,
      () => Buffer.from(good, 'utf16le'),
      { 'content-type': 'application/json; charset=utf-16' },
    ],
    ['TN-16', 'another encoding', 415, () => good, { 'content-encoding': 'zz' }],
    ['TN-16', 'gzip in gzip', 415, () => gzipSync(gzipSync(good)), { 'content-encoding': 'gzip, gzip' }],
    ['TN-16', 'a number', 400, () => '1'],
    ['TN-16', 'a text', 400, () => '"x"'],
    ['TN-16', 'null', 400, () => 'null'],
    ['TN-16', 'an array', 400, () => '[]'],
    ['TN-16', 'no UTF-8', 400, () => Buffer.from('{"mandateRefs":["\xff\xfe"]}', 'latin1')],
    ['TN-17', 'no type', 415, () => good, { 'content-type': '' }],
    ['TN-17', 'text', 415, () => good, { 'content-type': 'text/plain' }],
    ['TN-17', 'a form', 415, () => 'mandateRefs=1', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['TN-17', 'bytes', 415, () => good, { 'content-type': 'application/octet-stream' }],
    ['TN-17', 'almost JSON', 415, () => good, { 'content-type': 'application/jsonx' }],
    ['TN-18', '__proto__', 400, () => `{"__proto__":{"x":1},"mandateRefs":["${mandateRefs[0]}"]}`],
    ['TN-18', '__proto__, escaped', 400, () => `{"\\u005f_proto__":{"x":1},"mandateRefs":["${mandateRefs[0]}"]}`],
    [
      'TN-18',
      'constructor.prototype',
      400,
      () => `{"constructor":{"prototype":{"x":1}},"mandateRefs":["${mandateRefs[0]}"]}`,
    ],
    ['TN-18', 'a key twice', 400, () => `{"mandateRefs":["${mandateRefs[0]}"],"mandateRefs":[]}`],
    ['TN-18', 'a key twice, once escaped', 400, () => `{"mandateRefs":["${mandateRefs[0]}"],"mandate\\u0052efs":[]}`],
    ['TN-18', '100,000 arrays in each other', 400, () => `{"mandateRefs":${'['.repeat(1e5)}${']'.repeat(1e5)}}`],
    ['TN-18', '100,000 objects in each other', 400, () => `${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`],
    ['TN-18', 'an unknown key', 400, () => `{"mandateRefs":["${mandateRefs[0]}"],"quota":1}`],
  ];
  it.each(cases)('%s %s: %i', async (_, name, status, body, headers = {}) => {
    const answer = await tenants.a.call('POST', pathOf('seen'), Buffer.from(body()), {
      'content-type': 'application/json',
      ...headers,
    });
    expect([name, answer.status]).toEqual([name, status]);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(Object.keys(answer.json)).toEqual(expect.arrayContaining(['type', 'title', 'status', 'code']));
    expect(answer.bytes.toString()).not.toMatch(/node_modules|\bat \/|SELECT|ZodError/);
  });

  it('TN-16, TN-18 after all that honest requests work, zipped too', async () => {
    const zipped = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    expect((await tenants.a.call('POST', pathOf('seen'), gzipSync(good), zipped)).status).toBe(204);
    expect((await tenants.a.call('GET', pathOf('account'))).json).not.toHaveProperty('x');
    expect(tenants.world.server.log).not.toContain('"level":50');
  });

  it('TN-17 packs and journal take bytes only', async () => {
    for (const [method, path] of [
      ['PUT', pathOf('pack', { packId: randomId(64) })],
      ['POST', pathOf('journal')],
      ['POST', pathOf('heal')],
    ] as const)
      for (const type of [
        'application/json',
        'multipart/form-data; boundary=x',
        'application/octet-stream; charset=latin1',
        '',
      ]) {
        const answer = await tenants.a.call(method, path, new Uint8Array(8), { 'content-type': type });
        expect([path, type, answer.status]).toEqual([path, type, 415]);
      }
  });
});

describe('TN-20, TN-22 ids and queries', () => {
  const hex = 'ab'.repeat(32);
  it.each([
    '..%2f..%2fetc',
    '%00',
    '%2e',
    `${hex}%00`,
    hex.toUpperCase(),
    hex.slice(1),
    `${hex}0`,
    `${hex}%0a`,
    '%E0%A4%A',
    '%ff',
    '%D1%84'.repeat(32),
    '%F0%9D%9F%98'.repeat(64),
    `${hex.slice(2)}%2f.`,
    "'%20OR%201=1--",
    '*',
    'a'.repeat(1_000),
  ])('TN-20 %s is no id: 400', async (id) => {
    for (const path of ['/v1/packs/', '/v1/records/']) {
      const answer = await rawAsk(tenants.url, head(`GET ${path}${id}`, [host, authorization]));
      expect([path, answer.status, JSON.parse(answer.body).code]).toEqual([path, 400, 'invalid']);
    }
  });

  it('TN-20 an id of 10 kB is an address that is too long', async () => {
    const answer = await rawAsk(tenants.url, head(`GET /v1/packs/${'a'.repeat(10_000)}`, [host, authorization]));
    expect(answer.status).toBe(414);
  });

  it.each([
    'after=1&after=2',
    'after[a]=1',
    'after[]=1',
    'after=',
    'after=-1',
    'after=1e3',
    'after=0x1',
    'after=01',
    'after=1.5',
    'limit=0',
    'limit=501',
    'after=9007199254740993',
    'after=99999999999999999999',
    '__proto__=1',
    'constructor=1',
    'after=%',
    'after=%FF',
    'x=1',
    'after=1%00',
  ])('TN-22 ?%s: 400', async (query) => {
    const answer = await rawAsk(tenants.url, head(`GET /v1/journal?${query}`, [host, authorization]));
    expect([answer.status, JSON.parse(answer.body).code]).toEqual([400, 'invalid']);
  });

  it('TN-22 a route without a query takes none', async () => {
    for (const path of [pathOf('account'), pathOf('vault'), pathOf('pack', { packId: hex })])
      expect((await tenants.a.call('GET', `${path}?after=1`)).status).toBe(400);
    expect((await ask(`${tenants.url}/health/live?x=1`)).status).toBe(400);
  });
});
