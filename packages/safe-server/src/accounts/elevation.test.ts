import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { startTestServer, type TestServer } from '../app.test.bed.ts';
import { newCode } from '../subscriptions/service.ts';
import { deviceOfToken } from './devices.ts';

const MINUTE = 60_000;
let server: TestServer;
let number: string;
let mine: { deviceId: string; token: string };
let other: { deviceId: string; token: string };

beforeEach(async () => {
  server = await startTestServer();
  const subscriber = await server.subscriber();
  number = subscriber.number;
  mine = await server.enrol(subscriber.code, 'PC 1');
  other = await server.enrol(await server.code(number), 'PC 2');
});

afterEach(() => server.close());

const forgetCode = async (of = number) => (await newCode(server.deps, 'anna', of, 'forget')).code;
const elevate = (json: object, token = mine.token) => server.call('POST', '/v1/elevations', { token, json });
const mayForget = async (token = mine.token) => (await deviceOfToken(server.deps, token))?.rights.has('forget');

test('R-01 a code gives the right to forget to this device alone, once, for ten minutes of the server', async () => {
  const code = await forgetCode();
  expect((await elevate({ code })).body).toEqual({ right: 'forget', until: server.time.now + 10 * MINUTE });
  expect([await mayForget(), await mayForget(other.token)]).toEqual([true, false]);
  expect((await elevate({ code }, other.token)).body).toMatchObject({ status: 404, code: 'code-refused' });
  server.time.now += 10 * MINUTE - 1;
  expect(await mayForget()).toBe(true);
  server.time.now += 1;
  expect(await mayForget()).toBe(false);
});

test('TN-27 codes for enrolling, expired and of another subscriber elevate nobody, and are not spent by trying', async () => {
  const stranger = await server.subscriber();
  const [enrol, foreign, old] = [await server.code(number), await forgetCode(stranger.number), await forgetCode()];
  for (const code of [enrol, foreign]) expect((await elevate({ code })).body.code).toBe('code-refused');
  await server.enrol(enrol, 'PC 3');
  const theirs = await server.enrol(stranger.code, 'PC');
  expect((await elevate({ code: foreign }, theirs.token)).status).toBe(200);
  server.time.now += 7 * 24 * 60 * MINUTE;
  expect((await elevate({ code: old })).body.code).toBe('code-refused');
});

test('TN-27 a stolen token guesses ten times in a quarter of an hour', async () => {
  for (let i = 0; i < 10; i++) expect((await elevate({ code: `WRONG-${i}` })).status).toBe(404);
  const code = await forgetCode();
  const answer = await elevate({ code });
  expect(answer.status).toBe(429);
  server.time.now += Number(answer.headers.get('retry-after')) * 1000;
  expect((await elevate({ code })).status).toBe(200);
});

test('without a mail server the operator is to be asked', async () => {
  expect((await elevate({})).body).toMatchObject({ status: 501, code: 'no-mailer' });
});

test('another device is revoked only with an elevation, one’s own without; both are in the audit log', async () => {
  const remove = (id: string, token = mine.token) => server.call('DELETE', `/v1/devices/${id}`, { token });
  expect((await remove(other.deviceId)).body.code).toBe('elevation-required');
  await elevate({ code: await forgetCode() });
  expect((await remove(other.deviceId)).status).toBe(204);
  expect((await server.call('GET', '/v1/devices', { token: other.token })).status).toBe(401);
  server.time.now += 11 * MINUTE;
  expect((await remove(mine.deviceId)).status).toBe(204);
  const rows = await server.deps.db.read((m) => m.query('SELECT operation FROM audit ORDER BY id'));
  const operations = (rows as { operation: string }[]).map(({ operation }) => operation);
  expect(operations.slice(-3)).toEqual(['elevation', 'device-revoke', 'device-revoke']);
});
