import { request as httpRequest, type IncomingMessage } from 'node:http';
import { PACK_GRANULE_BYTES } from '@cresus-safe/protocol/public';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { packKey } from '../blobs/keys.ts';
import { readBlob } from '../blobs/store.ts';
import { type Bed, type Client, makePack, sha256, startBed } from './conversation.test.bed.ts';
import { PackEntity, VaultEntity } from './entities.ts';
import { reservePack } from './pack-store.ts';

let bed: Bed;
let a: Client;
let b: Client;

beforeAll(async () => {
  bed = await startBed({ folder: true });
  bed.knobs.subscription = { ...bed.knobs.subscription, quotaBytes: 1e9 };
  a = await bed.subscriber('1001');
  b = await bed.subscriber('1002');
  await a.createVault();
  await b.createVault();
});

afterAll(() => bed.close());

const usedBytes = async (client: Client) =>
  (await bed.deps.db.read((m) => m.findOneByOrFail(VaultEntity, { vaultId: client.vaultId }))).usedBytes;
const packRow = (client: Client, packId: string) =>
  bed.deps.db.read((m) => m.findOneBy(PackEntity, { vaultId: client.vaultId, packId }));

describe('storing a pack', () => {
  test('it is stored, counted, and comes back whole and in part', async () => {
    const pack = makePack(2);
    const before = await usedBytes(a);
    expect((await a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes)).status).toBe(201);
    expect(await usedBytes(a)).toBe(before + pack.bytes.length);
    const whole = await a.call('GET', `/v1/packs/${pack.id}`);
    expect(whole.status).toBe(200);
    expect(whole.headers.get('content-type')).toBe('application/octet-stream');
    expect(whole.bytes.equals(pack.bytes)).toBe(true);
    const part = await a.call('GET', `/v1/packs/${pack.id}`, undefined, { range: 'bytes=262144-262147' });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe('bytes 262144-262147/524288');
    expect(part.bytes.equals(pack.bytes.subarray(262144, 262148))).toBe(true);
    const head = await a.call('HEAD', `/v1/packs/${pack.id}`);
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '524288']);
  });

  test('TN-09, F-03, F-15: the same pack again is answered 200 and counted once', async () => {
    const pack = makePack();
    await a.putPack(pack);
    const before = await usedBytes(a);
    expect((await a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes)).status).toBe(200);
    expect(await usedBytes(a)).toBe(before);
  });

  test('TN-08: other bytes under a stored id are refused and change nothing', async () => {
    const pack = makePack();
    await a.putPack(pack);
    const other = await a.call('PUT', `/v1/packs/${pack.id}`, makePack().bytes);
    expect([other.status, other.json['code']]).toEqual([409, 'pack-differs']);
    expect((await a.call('GET', `/v1/packs/${pack.id}`)).bytes.equals(pack.bytes)).toBe(true);
  });

  test('TN-10: bytes that do not have the hash leave no object, no row, no count', async () => {
    const id = sha256(Buffer.from('something else'));
    const before = await usedBytes(a);
    const answer = await a.call('PUT', `/v1/packs/${id}`, makePack().bytes);
    expect([answer.status, answer.json['code']]).toEqual([422, 'hash-mismatch']);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(await bed.blobs.stat(packKey(a.vaultId, id))).toBeUndefined();
    expect(await packRow(a, id)).toBeNull();
    expect(await usedBytes(a)).toBe(before);
  });

  test('TN-05: a pack that another subscriber has is stored anew, and nothing tells of the other', async () => {
    const pack = makePack();
    await b.putPack(pack);
    expect((await a.call('GET', `/v1/packs/${pack.id}`)).status).toBe(404);
    expect((await a.call('HEAD', `/v1/packs/${pack.id}`)).status).toBe(404);
    expect((await a.call('POST', '/v1/packs/keep', { packIds: [pack.id] })).json).toEqual({ missing: [pack.id] });
    expect((await a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes)).status).toBe(201);
    for (const client of [a, b])
      expect((await readBlob(bed.blobs, packKey(client.vaultId, pack.id), 1e6))?.equals(pack.bytes)).toBe(true);
  });

  test('TN-04: another subscriber’s pack looks exactly like one that does not exist', async () => {
    const theirs = await b.putPack();
    const answers = await Promise.all(
      [theirs, sha256(Buffer.from('none'))].map((id) =>
        a.call('GET', `/v1/packs/${id}`, undefined, { range: 'bytes=0-1' }),
      ),
    );
    const [real, random] = answers.map(({ status, json }) => ({ status, json }));
    expect(real).toEqual(random);
    expect(real?.status).toBe(404);
  });

  test('parallel uploads of one pack all succeed and count once', async () => {
    const pack = makePack();
    const before = await usedBytes(a);
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => a.call('PUT', `/v1/packs/${pack.id}`, Buffer.from(pack.bytes))),
    );
    expect(answers.every(({ status }) => status === 201 || status === 200)).toBe(true);
    expect(await usedBytes(a)).toBe(before + pack.bytes.length);
    expect((await a.call('GET', `/v1/packs/${pack.id}`)).bytes.equals(pack.bytes)).toBe(true);
  });

  test('a wrong upload beside a right one takes nothing from it', async () => {
    const pack = makePack();
    const before = await usedBytes(a);
    const [right, wrong] = await Promise.all([
      a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes),
      a.call('PUT', `/v1/packs/${pack.id}`, makePack().bytes),
    ]);
    expect(right.status).toBe(201);
    expect([409, 422]).toContain(wrong.status);
    expect((await packRow(a, pack.id))?.state).toBe('stored');
    expect(await usedBytes(a)).toBe(before + pack.bytes.length);
  });
});

describe('bad uploads', () => {
  test.each([0, 1, PACK_GRANULE_BYTES - 1, PACK_GRANULE_BYTES + 1])('a length of %d is refused', async (length) => {
    const bytes = Buffer.alloc(length);
    const answer = await a.call('PUT', `/v1/packs/${sha256(bytes)}`, bytes, { 'content-length': String(length) });
    expect(answer.status).toBe(400);
  });

  test('TN-11: more than a pack may have is refused before it is read', async () => {
    const answer = await raw({ 'content-length': String(17 * 1024 * 1024 + PACK_GRANULE_BYTES) });
    expect(answer.status).toBe(413);
  });

  test('a body without a length is refused', async () => {
    expect((await raw({ 'transfer-encoding': 'chunked' })).status).toBe(411);
  });

  test('another content type is refused', async () => {
    const pack = makePack();
    const answer = await a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes, { 'content-type': 'text/plain' });
    expect(answer.status).toBe(415);
  });

  test('TN-12: a body that stalls ends in 408 and leaves nothing', async () => {
    const id = sha256(Buffer.from('stalled'));
    const before = await usedBytes(a);
    const answer = await raw({ 'content-length': String(PACK_GRANULE_BYTES) }, id, Buffer.alloc(1000));
    expect(answer.status).toBe(408);
    expect(await packRow(a, id)).toBeNull();
    expect(await usedBytes(a)).toBe(before);
  });

  test('a connection that breaks leaves nothing', async () => {
    const id = sha256(Buffer.from('broken'));
    const before = await usedBytes(a);
    const headers = { 'content-length': String(PACK_GRANULE_BYTES) };
    await expect(raw(headers, id, Buffer.alloc(1000), 50)).rejects.toThrow();
    for (let tries = 0; (await packRow(a, id)) !== null && tries < 100; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await packRow(a, id)).toBeNull();
    expect(await usedBytes(a)).toBe(before);
  });

  /** Sends headers and perhaps a first piece, then waits for the answer or, after `cutAfter` ms, cuts the line. */
  function raw(headers: Record<string, string>, id = 'a'.repeat(64), piece?: Buffer, cutAfter?: number) {
    return new Promise<{ status: number }>((resolve, reject) => {
      const req = httpRequest(`${a.url}/v1/packs/${id}`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${a.token}`, 'content-type': 'application/octet-stream', ...headers },
      });
      req.on('response', (res) => {
        res.resume();
        resolve({ status: res.statusCode ?? 0 });
        req.destroy();
      });
      req.on('error', reject);
      if (piece) req.write(piece);
      else req.flushHeaders();
      if (cutAfter) setTimeout(() => req.destroy(new Error('cut')), cutAfter);
    });
  }

  test.each(['..%2f..%2fetc', '%00', '%2ex', 'A'.repeat(64), `${'a'.repeat(63)}g`, '%E0%A4%A', 'a'.repeat(65), 'ä'])(
    'TN-20: %s is no pack id',
    async (id) => {
      for (const method of ['GET', 'HEAD', 'PUT'])
        expect((await a.call(method, `/v1/packs/${id}`, method === 'PUT' ? makePack().bytes : undefined)).status).toBe(
          400,
        );
    },
  );

  test('TN-21: ids with slashes reach no route', async () => {
    for (const id of ['a/b', '/', '//x', `${'a'.repeat(64)}/`])
      expect((await a.call('GET', `/v1/packs/${id}`)).status).not.toBe(200);
  });

  test.each(['?a=1', '?a=1&a=2', '?a[b]=1'])('TN-22: %s is refused', async (query) => {
    const id = await a.putPack();
    expect((await a.call('GET', `/v1/packs/${id}${query}`)).status).toBe(400);
  });
});

describe('ranges', () => {
  test.each([
    ['bytes=0-0', '0-0'],
    ['bytes=5-', '5-262143'],
    ['bytes=262143-999999', '262143-262143'],
    ['bytes=-1', '262143-262143'],
    ['bytes=-999999', '0-262143'],
  ])('%s gives bytes %s', async (range, given) => {
    const id = await a.putPack();
    const answer = await a.call('GET', `/v1/packs/${id}`, undefined, { range });
    expect([answer.status, answer.headers.get('content-range')]).toEqual([206, `bytes ${given}/262144`]);
  });

  test.each([
    'bytes=1-0',
    'bytes=262144-',
    'bytes=-0',
    'bytes=-',
    'bytes=0-1,5-6',
    'lines=0-1',
    'bytes=a-b',
    'bytes=--1',
  ])('TN-23: %s is refused', async (range) => {
    const id = await a.putPack();
    const answer = await a.call('GET', `/v1/packs/${id}`, undefined, { range });
    expect([answer.status, answer.json['code']]).toEqual([416, 'range-not-satisfiable']);
  });

  test('TN-23: a thousand ranges are refused', async () => {
    const id = await a.putPack();
    const range = `bytes=${Array.from({ length: 1000 }, (_, i) => `${i}-${i}`).join()}`;
    expect((await a.call('GET', `/v1/packs/${id}`, undefined, { range })).status).toBe(416);
  });
});

describe('downloads that go wrong', () => {
  /** Starts a download and hands over its answer. */
  const download = (id: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${a.token}` };
      httpRequest(`${a.url}/v1/packs/${id}`, { headers }, resolve).on('error', reject).end();
    });

  test('broken off or never read, they are cut and harm no other', async () => {
    const packs = [makePack(60), makePack(60)];
    for (const pack of packs) await a.putPack({ ...pack, bytes: Buffer.from(pack.bytes) });
    const stalled = (await download(packs[0]?.id ?? '')).on('error', () => undefined);
    const cut = new Promise((resolve) => stalled.once('close', resolve));
    stalled.once('data', () => stalled.pause());
    for (let i = 0; i < 4; i++) {
      const broken = (await download(packs[1]?.id ?? '')).on('error', () => undefined);
      broken.once('data', () => broken.destroy());
      const answers = await Promise.all(packs.map(({ id }) => a.call('GET', `/v1/packs/${id}`)));
      for (const [n, pack] of packs.entries()) expect(answers[n]?.bytes.equals(pack.bytes)).toBe(true);
    }
    setTimeout(() => stalled.resume(), 4000).unref(); // a paused stream tells nothing of its end
    await cut;
    expect(stalled.complete).toBe(false);
  }, 30_000);

  test('F-30: other bytes of the same length are never sent to their end', async () => {
    const pack = makePack(60);
    await a.putPack({ ...pack, bytes: Buffer.from(pack.bytes) });
    const key = packKey(a.vaultId, pack.id);
    const bytes = Buffer.from(pack.bytes).fill(1, pack.bytes.length - 1);
    await bed.blobs.delete(key);
    await bed.blobs.put(key, Buffer.from(bytes), { length: bytes.length, sha256: sha256(bytes) });
    const answer = (await download(pack.id)).on('error', () => undefined).resume();
    await new Promise((resolve) => answer.once('close', resolve));
    expect([answer.statusCode, answer.complete]).toEqual([200, false]);
  });

  test('F-29: an object in the way of an upload counts only if it is these very bytes', async () => {
    const [same, other] = [makePack(), makePack()];
    for (const [pack, bytes] of [
      [same, same.bytes],
      [other, Buffer.alloc(other.bytes.length)],
    ] as const)
      await bed.blobs.put(packKey(a.vaultId, pack.id), Buffer.from(bytes), {
        length: bytes.length,
        sha256: sha256(bytes),
      });
    const put = (pack: typeof same) => a.call('PUT', `/v1/packs/${pack.id}`, Buffer.from(pack.bytes));
    expect((await put(same)).status).toBe(201);
    expect(await put(other)).toMatchObject({ status: 503, json: { code: 'store-unavailable' } });
    expect((await put(other)).status).toBe(201);
    expect((await a.call('GET', `/v1/packs/${other.id}`)).bytes.equals(other.bytes)).toBe(true);
  });

  test('a pack that is gone from the bucket, or was cut short, is told as damage', async () => {
    const [lost, short] = [await a.putPack(), await a.putPack()];
    await bed.blobs.delete(packKey(a.vaultId, lost));
    await bed.blobs.delete(packKey(a.vaultId, short));
    const bytes = Buffer.from('short');
    await bed.blobs.put(packKey(a.vaultId, short), bytes, { length: bytes.length, sha256: sha256(bytes) });
    for (const id of [lost, short]) {
      const answer = await a.call('GET', `/v1/packs/${id}`);
      expect([answer.status, answer.json['code']]).toEqual([502, 'stored-damaged']);
    }
  });
});

describe('quota and subscription', () => {
  test('TN-32: parallel uploads never exceed the quota together', async () => {
    const c = await bed.subscriber('1003');
    await c.createVault();
    bed.knobs.subscription = { ...bed.knobs.subscription, quotaBytes: 3 * PACK_GRANULE_BYTES };
    const packs = Array.from({ length: 8 }, () => makePack());
    const answers = await Promise.all(packs.map(({ id, bytes }) => c.call('PUT', `/v1/packs/${id}`, bytes)));
    bed.knobs.subscription = { ...bed.knobs.subscription, quotaBytes: 1e9 };
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 507, 507, 507, 507, 507]);
    expect(await usedBytes(c)).toBe(3 * PACK_GRANULE_BYTES);
  });

  test('TN-35: in read-only nothing is sent, everything is restored; closed gives nothing', async () => {
    const active = bed.knobs.subscription;
    const id = await a.putPack();
    const pack = makePack();
    const put = () => a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes);
    const get = () => a.call('GET', `/v1/packs/${id}`);
    bed.knobs.subscription = { ...active, state: 'read-only', expiresOn: '2026-01-01', maySend: false };
    const refused = await put();
    expect([refused.status, refused.json['code'], refused.json['expiresOn']]).toEqual([
      402,
      'subscription-expired',
      '2026-01-01',
    ]);
    expect((await get()).status).toBe(200);
    bed.knobs.subscription = { ...active, state: 'suspended', maySend: false };
    expect((await put()).json['code']).toBe('suspended');
    bed.knobs.subscription = { ...active, state: 'closed', maySend: false, mayRestore: false };
    expect([(await put()).status, (await get()).status]).toEqual([410, 410]);
    bed.knobs.subscription = active;
    expect((await put()).status).toBe(201);
  });
});

test('an id that was used up is refused for good', async () => {
  const pack = makePack();
  const { vaultId } = a;
  await bed.deps.db.write(async (m) => {
    await reservePack(
      m,
      { vaultId, packId: pack.id, length: pack.bytes.length },
      { now: 0, expiresAt: 1, quotaBytes: 1e9 },
    );
    await m.update(PackEntity, { vaultId, packId: pack.id }, { state: 'gone', expiresAt: null });
  });
  const answer = await a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes);
  expect([answer.status, answer.json['code']]).toEqual([410, 'pack-gone']);
});
