import { gzipSync } from 'node:zlib';
import { ROUTES } from '@cresus-safe/protocol/http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestServer, type TestServer } from '../app.test.bed.ts';

// What a malicious client sends, as HTTP conversations. Each answer is a problem document without a word from inside.

let server: TestServer;
let token: string;
beforeAll(async () => {
  server = await startTestServer();
  const { code } = await server.subscriber();
  ({ token } = await server.enrol(code));
});
afterAll(() => server.close());

const JSON_TYPE = { 'content-type': 'application/json' };
const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = JSON_TYPE) =>
  server.call('POST', ROUTES.devices, { body, headers });

describe('TN-01 without a valid token', () => {
  it.each([
    ['none', {}],
    ['another scheme', { authorization: 'Basic dXNlcjpwYXNz' }],
    ['no token', { authorization: 'Bearer' }],
    ['a malformed one', { authorization: 'Bearer x y' }],
    ['one that does not exist', { authorization: `Bearer ${'A'.repeat(43)}` }],
    ['an enormous one', { authorization: `Bearer ${'A'.repeat(4000)}` }],
  ])('%s: 401, always the same body', async (_, headers) => {
    const answer = await server.call('GET', ROUTES.account, { headers });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(answer.text).toBe(
      '{"type":"urn:cresus-safe:problem:unauthorized","title":"No valid device token","status":401,"code":"unauthorized"}',
    );
  });
});

it('TN-03 a token in the address is no token, and is not logged', async () => {
  expect((await server.call('GET', `${ROUTES.account}?token=${token}`)).status).toBe(401);
  expect(server.logged()).not.toContain(token);
});

describe('TN-16 bodies that are no JSON', () => {
  it.each([
    ['malformed', '{"code":', 400],
    ['empty', '', 400],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 400],
    ['a primitive', '42', 400],
    ['null', 'null', 400],
    ['an array', '[]', 400],
    ['too long', `{"code":"${'x'.repeat(5000)}"}`, 413],
  ])('%s', async (_, body, status) => {
    const answer = await post(body as string);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
  });
  it.each([
    ['a gzip bomb', gzipSync(Buffer.alloc(10_000_000)), { ...JSON_TYPE, 'content-encoding': 'gzip' }, 413],
    ['bad gzip', Buffer.from('no gzip'), { ...JSON_TYPE, 'content-encoding': 'gzip' }, 400],
    ['an unknown encoding', Buffer.from('{}'), { ...JSON_TYPE, 'content-encoding': 'zz' }, 415],
    ['an unknown charset', Buffer.from('{}'), { 'content-type': 'application/json; charset=foo' }, 415],
  ])('%s', async (_, body, headers, status) => {
    expect((await post(Uint8Array.from(body), headers as Record<string, string>)).status).toBe(status);
  });
  it('well-compressed JSON is taken', async () => {
    const body = Uint8Array.from(gzipSync('{"code":"0000-0000-0000-0000","name":"PC"}'));
    expect((await post(body, { ...JSON_TYPE, 'content-encoding': 'gzip' })).body.code).toBe('code-refused');
  });
});

describe('TN-17 another content type', () => {
  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonx'])(
    '%s',
    async (type) => {
      expect((await post('{}', { 'content-type': type })).status).toBe(415);
    },
  );
  it('JSON where bytes are wanted', async () => {
    const answer = await server.call('POST', ROUTES.journal, { token, json: {} });
    expect(answer.body.code).toBe('unsupported-media-type');
  });
});

describe('TN-18 JSON that means two things', () => {
  it.each([
    ['__proto__', '{"__proto__":{"polluted":1}}'],
    ['__proto__ in escapes', '{"\\u005f_proto__":{"polluted":1}}'],
    ['constructor.prototype', '{"constructor":{"prototype":{"polluted":1}}}'],
    ['a key twice', '{"code":"a","name":"b","code":"c"}'],
    ['a key twice, once in escapes', '{"code":"a","\\u0063ode":"c"}'],
    ['a key twice, deep inside', '{"code":[{"a":{"b":1,"b":2}}]}'],
    ['a hundred thousand levels', `{"code":${'['.repeat(1000)}${']'.repeat(1000)}}`],
  ])('%s', async (_, body) => {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(answer.body.code).toBe('malformed-json');
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
  it('a brace or a quote inside a string is only text', async () => {
    const answer = await post('{"code":"}{\\"\\\\\\",{","name":"a,\\"b\\":"}');
    expect(answer.body.code).toBe('code-refused');
  });
});

it('TN-19 a field that is not ours is refused, and named', async () => {
  const answer = await server.call('POST', ROUTES.devices, {
    json: { code: 'x', name: 'PC', quota: 1, role: 'admin', expiresAt: '2999-01-01', rights: 'forget' },
  });
  expect(answer.status).toBe(400);
  expect(answer.body.issues[0].message).toContain('quota');
});

describe('TN-20 ids that are none', () => {
  it.each([
    '..%2f..%2fetc%2fpasswd',
    '%00',
    '%2e%2e%2e',
    'A'.repeat(64),
    `${'a'.repeat(63)}g`,
    'a'.repeat(65),
    `${'a'.repeat(64)}%0a`,
    'x'.repeat(1500),
    encodeURIComponent('é'.repeat(64)),
    '%E0%A4%A',
  ])('%s', async (id) => {
    const answer = await server.call('GET', `/v1/packs/${id}`, { token });
    expect(answer.status).toBe(400);
    expect(answer.body.code).toBe('invalid');
  });
  it('an address without end', async () => {
    expect((await server.call('GET', `/v1/packs/${'x'.repeat(10_000)}`, { token })).status).toBe(414);
  });
});

describe('TN-22 queries that are read twice', () => {
  it.each([
    '?after=1&after=2',
    '?after[]=1',
    '?after[a]=1',
    '?limit=0',
    '?limit=501',
    '?after=1e3',
    '?x=1',
    '?after=%E0%A4%A',
  ])('%s', async (query) => {
    expect((await server.call('GET', `${ROUTES.journal}${query}`, { token })).status).toBe(400);
  });
});

it('TN-44 no origin is let in', async () => {
  const answer = await server.call('GET', ROUTES.account, { token, headers: { origin: 'https://evil.example' } });
  expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
});

describe('TN-48, TN-49 what does not exist', () => {
  it.each([
    '/',
    '/metrics',
    '/.git/config',
    '/.env',
    '/v1',
    '/v1/enrolments',
    '/v1/webhooks',
    '/v1/Account',
    '/v1/account/',
  ])('%s is 404', async (path) => {
    const answer = await server.call('GET', path, { token });
    expect(answer.status).toBe(404);
    expect(answer.body.code).toBe('not-found');
  });
  it('a known path with another method names those it has', async () => {
    const answer = await server.call('DELETE', ROUTES.account, { token });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET, HEAD');
    expect((await server.call('PUT', ROUTES.devices, { token })).headers.get('allow')).toBe('POST, GET, HEAD');
  });
});

describe('every answer', () => {
  it('carries the request id that was offered, if it is sane', async () => {
    const sane = await server.call('GET', ROUTES.live, { headers: { 'x-request-id': 'run-42.a' } });
    expect(sane.headers.get('x-request-id')).toBe('run-42.a');
    const odd = await server.call('GET', ROUTES.live, { headers: { 'x-request-id': 'a b<script>' } });
    expect(odd.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });
  it('is not stored, not sniffed, not framed, and says nothing of the software', async () => {
    const { headers } = await server.call('GET', ROUTES.account, { token });
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('server')).toBeNull();
  });
  it('HEAD is GET without the body', async () => {
    const answer = await server.call('HEAD', ROUTES.account, { token });
    expect(answer.status).toBe(200);
    expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(100);
    expect(answer.text).toBe('');
  });
});

it('TN-47 nothing secret was logged by all of the above', async () => {
  const { code, number } = await server.subscriber();
  const device = await server.enrol(code, 'Laptop');
  await server.call('POST', ROUTES.devices, { json: { code, name: 'Again' } });
  const logged = server.logged();
  expect(logged).toContain(device.deviceId);
  expect(logged).toContain(number);
  for (const secret of [token, device.token, code, code.replaceAll('-', ''), 'Bearer', 'authorization', 'polluted'])
    expect(logged).not.toContain(secret);
});
