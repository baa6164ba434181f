import { ROUTES } from '@cresus-safe/protocol/http';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startTestServer, type TestServer } from '../app.test.bed.ts';
import { AuditEntity } from '../audit/entity.ts';
import { readBlob } from '../blobs/store.ts';
import { changeSubscriber } from '../subscriptions/service.ts';
import { Client } from '../vaults/conversation.test.bed.ts';
import { hashCode } from './codes.ts';
import { revokeDevice } from './devices.ts';
import { CodeEntity, DeviceEntity } from './entities.ts';
import { sourceOf } from './guesses.ts';

const DAY = 86_400_000;
let server: TestServer;
beforeEach(async () => {
  server = await startTestServer({ trustProxy: 1 });
});
afterEach(() => server.close());

const enrol = (code: string, ip = '192.0.2.1') =>
  server.call('POST', ROUTES.devices, { json: { code, name: 'PC' }, headers: { 'x-forwarded-for': ip } });

describe('a code', () => {
  it('gives a device, its token and what to pin', async () => {
    const { number, code } = await server.subscriber();
    const { status, body } = await enrol(code);
    expect(status).toBe(201);
    expect(body).toMatchObject({ number, serverId: server.deps.ring.serverId, vault: 'none' });
    expect(body.subscription).toMatchObject({ state: 'active', expiresOn: '2050-12-31', maySend: true });
    expect(Buffer.from(body.token, 'base64url')).toHaveLength(32);
    const account = await server.call('GET', ROUTES.account, { token: body.token });
    expect(account.body).toMatchObject({ number, deviceId: body.deviceId, deviceState: 'active', head: null });
  });

  it('may be typed as people type', async () => {
    const { code } = await server.subscriber();
    const typed = ` ${code.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')}`;
    expect((await enrol(typed)).status).toBe(201);
  });

  it('and its token are nowhere in the database or the bucket, only hashes', async () => {
    const { code, number } = await server.subscriber();
    const { body } = await enrol(code);
    const rows = JSON.stringify(
      await server.deps.db.read(async (manager) => [
        await manager.find(CodeEntity),
        await manager.find(DeviceEntity),
        await manager.find(AuditEntity),
      ]),
    );
    expect(rows).toContain(hashCode(code));
    expect(rows).not.toContain(code);
    expect(rows).not.toContain(body.token);
    const key = `a/${number}/d/${body.deviceId}/1`;
    const sealed = await readBlob(server.deps.blobs, key, 10_000);
    expect(sealed?.toString('latin1')).not.toContain('PC');
    expect(JSON.parse(server.deps.ring.open(key, sealed ?? Buffer.of()).toString())).toMatchObject({
      name: 'PC',
      number,
    });
  });
});

describe('TN-27 a code', () => {
  const refused = { status: 404, code: 'code-refused' };

  it('serves once, even when asked for twenty times at once', async () => {
    const { code } = await server.subscriber();
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => enrol(code, `192.0.2.${index}`)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 404, 404, 404, 404, 404, 404, 404]);
  });

  it('expires after seven days', async () => {
    const { code } = await server.subscriber();
    server.time.now += 7 * DAY - 1;
    const other = await server.subscriber();
    server.time.now += 1;
    expect((await enrol(code)).body).toMatchObject(refused);
    expect((await enrol(other.code)).status).toBe(201);
  });

  it('used, expired, unknown or of a closed subscription: the same answer', async () => {
    const used = await server.subscriber();
    await enrol(used.code);
    const expired = await server.subscriber();
    server.time.now += 8 * DAY;
    const answers = [
      await enrol(used.code),
      await enrol(expired.code),
      await enrol('0000-0000-0000-0000'),
      await enrol('x'),
    ];
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
  });
});

describe('TN-24, TN-25 guessing', () => {
  it('is stopped after ten wrong codes from one address, for a while, and stops nobody else', async () => {
    const { code } = await server.subscriber();
    for (let guess = 0; guess < 10; guess++) expect((await enrol('wrong')).status).toBe(404);
    const stopped = await enrol('wrong');
    expect(stopped.status).toBe(429);
    expect(Number(stopped.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(stopped.body.retryAfter).toBe(Number(stopped.headers.get('retry-after')));
    expect((await enrol(code)).status).toBe(429); // right or wrong, so that waiting tells nothing
    expect((await enrol(code, '192.0.2.2')).status).toBe(201);
    server.time.now += 15 * 60_000;
    expect((await enrol('wrong')).status).toBe(404);
  });

  it('is counted by the /64 of an IPv6 address', async () => {
    for (let guess = 0; guess < 10; guess++) await enrol('wrong', `2001:db8:0:1::${guess}`);
    expect((await enrol('wrong', '2001:db8:0:1:ffff::1')).status).toBe(429);
    expect((await enrol('wrong', '2001:db8:0:2::1')).status).toBe(404);
  });

  it('cannot be hidden behind a forged X-Forwarded-For: only the last proxy is believed', async () => {
    for (let guess = 0; guess < 10; guess++) await enrol('wrong', `203.0.113.${guess}, 192.0.2.9`);
    expect((await enrol('wrong', '203.0.113.99, 192.0.2.9')).status).toBe(429);
  });

  it('from everywhere at once leaves three tries to each address', async () => {
    for (let guess = 0; guess < 300; guess++) await enrol('wrong', `198.51.${guess >> 3}.${guess & 7}`);
    for (let guess = 0; guess < 3; guess++) expect((await enrol('wrong', '192.0.2.7')).status).toBe(404);
    expect((await enrol('wrong', '192.0.2.7')).status).toBe(429);
  }, 60_000);

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:0db8:0000:0001:0:0:0:1', '2001:db8:0:1::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
  ])('%s counts as %s', (ip, source) => {
    expect(sourceOf(ip)).toBe(source);
  });
});

describe('TN-02 a revoked token', () => {
  it('is refused with the next request', async () => {
    const { number, code } = await server.subscriber();
    const { body } = await enrol(code);
    const { token, deviceId } = body;
    expect((await server.call('GET', ROUTES.account, { token })).status).toBe(200);
    await server.deps.db.write((manager) => revokeDevice(manager, { number, deviceId, now: server.time.now }));
    expect((await server.call('GET', ROUTES.account, { token })).status).toBe(401);
  });
});

describe('devices', () => {
  it('are listed, with the one that asks marked, and never those of others', async () => {
    const { number, code } = await server.subscriber();
    const { token, deviceId } = (await enrol(code)).body;
    await enrol((await server.subscriber()).code);
    server.time.now += 1000;
    await enrol(await server.code(number));
    const { body } = await server.call('GET', ROUTES.devices, { token });
    expect(body.devices).toHaveLength(2);
    expect(body.devices[0]).toMatchObject({ deviceId, current: true, state: 'active' });
    expect(body.devices[1]).toMatchObject({ current: false });
  });

  it('TN-06 are not revoked with a device token: that needs an elevation, for other, foreign and unknown ids alike', async () => {
    const { code, number } = await server.subscriber();
    const { token } = (await enrol(code)).body;
    const other = (await enrol(await server.code(number))).body.deviceId as string;
    const foreign = (await enrol((await server.subscriber()).code)).body.deviceId as string;
    const answers = await Promise.all(
      [other, foreign, '0'.repeat(32)].map((id) => server.call('DELETE', `/v1/devices/${id}`, { token })),
    );
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers[0]?.body).toMatchObject({ status: 403, code: 'elevation-required' });
  });

  it('note when they were last seen, hourly at most', async () => {
    const { code } = await server.subscriber();
    const { token } = (await enrol(code)).body;
    const seen = async () => {
      await server.call('GET', ROUTES.account, { token });
      return (await server.deps.db.read((manager) => manager.find(DeviceEntity)))[0]?.lastSeenAt;
    };
    const first = await seen();
    expect(first).toBe(server.time.now);
    server.time.now += 3_599_999;
    expect(await seen()).toBe(first);
    server.time.now += 1;
    expect(await seen()).toBe(server.time.now);
  });
});

describe('a second computer', () => {
  async function withVault() {
    const { number, code } = await server.subscriber();
    const first = Object.assign(new Client(server.url, number), (await enrol(code)).body);
    expect((await first.createVault()).status).toBe(201);
    const second = Object.assign(first.sibling(), (await enrol(await server.code(number))).body);
    return { number, first, second };
  }
  const prove = (client: Client, signature: Uint8Array) =>
    client.call('POST', ROUTES.proof, { signature: Buffer.from(signature).toString('base64') });

  it('is pending until it proves that it knows the vault key; the challenge serves once', async () => {
    const { second } = await withVault();
    expect((await second.call('GET', ROUTES.devices)).json['code']).toBe('pending');
    expect((await second.call('GET', ROUTES.account)).json).toMatchObject({ deviceState: 'pending', vault: 'exists' });
    const { json } = await second.call('GET', ROUTES.vault);
    const signature = second.proof(Buffer.from(json['challenge'] as string, 'base64'));
    expect((await prove(second, signature)).json).toMatchObject({ state: 'active' });
    expect((await second.call('GET', ROUTES.devices)).status).toBe(200);
    expect((await prove(second, signature)).json['code']).toBe('bad-signature');
  });

  it('stays pending with another key, and has used its challenge up', async () => {
    const { second } = await withVault();
    const { json } = await second.call('GET', ROUTES.vault);
    const challenge = Buffer.from(json['challenge'] as string, 'base64');
    const right = second.proof(challenge);
    second.seed = new Uint8Array(32);
    expect((await prove(second, second.proof(challenge))).json['code']).toBe('bad-signature');
    expect((await prove(second, right)).json['code']).toBe('bad-signature');
    expect((await second.call('GET', ROUTES.devices)).json['code']).toBe('pending');
  });

  it('cannot use a challenge of another device, nor one older than ten minutes', async () => {
    const { first, second } = await withVault();
    const mine = Buffer.from((await first.call('GET', ROUTES.vault)).json['challenge'] as string, 'base64');
    await second.call('GET', ROUTES.vault);
    expect((await prove(second, second.proof(mine))).status).toBe(403);
    const own = Buffer.from((await second.call('GET', ROUTES.vault)).json['challenge'] as string, 'base64');
    server.time.now += 600_000;
    expect((await prove(second, second.proof(own))).status).toBe(403);
  });

  it('enrolled before the vault was made becomes pending when another makes it', async () => {
    const { number, code } = await server.subscriber();
    const first = Object.assign(new Client(server.url, number), (await enrol(code)).body);
    const other = Object.assign(first.sibling(), (await enrol(await server.code(number))).body);
    expect((await other.call('GET', ROUTES.devices)).status).toBe(200);
    await first.createVault();
    expect((await other.call('GET', ROUTES.devices)).json['code']).toBe('pending');
    expect((await first.call('GET', ROUTES.devices)).status).toBe(200);
  });
});

describe('what was done is noted', () => {
  it('enrolment and changes as rows that nobody can change; data access once per run', async () => {
    const { number, code } = await server.subscriber();
    const first = Object.assign(new Client(server.url, number), (await enrol(code)).body);
    await first.createVault();
    await changeSubscriber(server.deps, 'anna', {
      number,
      operation: 'subscriber-suspend',
      change: { suspended: true },
    });
    for (const run of ['run-aaaaaaaa', 'run-aaaaaaaa', 'run-bbbbbbbb'])
      await first.call('GET', ROUTES.journal, undefined, { 'x-safe-run': run });
    const rows = await server.deps.db.read((manager) => manager.find(AuditEntity, { order: { id: 'ASC' } }));
    expect(rows.map(({ actor, operation }) => `${actor.split(':')[0]} ${operation}`)).toEqual([
      'operator subscriber-add',
      'device device-enrol',
      'device journal.append',
      'operator subscriber-suspend',
      'device journal.read',
      'device journal.read',
    ]);
    await expect(server.deps.db.write((m) => m.query("UPDATE audit SET actor = 'x'"))).rejects.toThrow('append-only');
    await expect(server.deps.db.write((m) => m.query('DELETE FROM audit'))).rejects.toThrow('append-only');
  });
});
