import { PACK_GRANULE_BYTES, parseFrame } from '@cresus-safe/protocol/public';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { journalKey, packKey } from '../blobs/keys.ts';
import { type BlobStore, readBlob } from '../blobs/store.ts';
import { dropRefusal } from '../db/database.test.bed.ts';
import { type Bed, type Client, makePack, startBed } from '../vaults/conversation.test.bed.ts';
import { EntryEntity, PackEntity, VaultEntity } from '../vaults/entities.ts';
import { reservePack } from '../vaults/pack-store.ts';
import { sweepPending } from './sweep.ts';

let bed: Bed;
let a: Client;

beforeAll(async () => {
  bed = await startBed({ folder: true });
  a = await bed.subscriber('1001');
  await a.createVault();
});

afterAll(() => bed.close());

/** What a kill leaves after the reservation, with or without the object. */
const reserve = async ({ id, bytes }: { id: string; bytes: Buffer }) => {
  const pack = { vaultId: a.vaultId, packId: id, length: bytes.length };
  const terms = { now: bed.knobs.now, expiresAt: bed.knobs.now + 1000, quotaBytes: 1e9 };
  await bed.deps.db.write((m) => reservePack(m, pack, terms));
};
const rowOf = (packId: string) => bed.deps.db.read((m) => m.findOneBy(PackEntity, { packId }));
const usedBytes = async () => (await bed.deps.db.read((m) => m.findOneByOrFail(VaultEntity, {}))).usedBytes;

test('F-14: an object without its note is adopted, a reservation without its object is given back', async () => {
  const [arrived, lost, young] = [makePack(), makePack(), makePack()];
  for (const pack of [arrived, lost]) await reserve(pack);
  bed.knobs.now += 900;
  await reserve(young);
  const facts = { length: arrived.bytes.length, sha256: arrived.id };
  await bed.blobs.put(packKey(a.vaultId, arrived.id), arrived.bytes, facts);
  expect((await a.call('GET', `/v1/packs/${arrived.id}`)).status).toBe(404);
  expect(await sweepPending(bed.deps)).toEqual({ stored: 0, released: 0, mirrored: 0 });
  bed.knobs.now += 200;
  expect(await sweepPending(bed.deps)).toEqual({ stored: 1, released: 1, mirrored: 0 });
  expect((await a.call('GET', `/v1/packs/${arrived.id}`)).bytes.equals(arrived.bytes)).toBe(true);
  expect(await rowOf(lost.id)).toBeNull();
  expect((await rowOf(young.id))?.state).toBe('pending');
  expect(await usedBytes()).toBe(2 * PACK_GRANULE_BYTES);
  expect(await sweepPending(bed.deps)).toEqual({ stored: 0, released: 0, mirrored: 0 });
});

test('F-14: an upload after such a crash takes the reservation over and counts once', async () => {
  const pack = makePack();
  const before = await usedBytes();
  await reserve(pack);
  await bed.blobs.put(packKey(a.vaultId, pack.id), pack.bytes, { length: pack.bytes.length, sha256: pack.id });
  expect((await a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes)).status).toBe(201);
  expect(await usedBytes()).toBe(before + PACK_GRANULE_BYTES);
});

test('R-09: a sweeper that stalls between looking and deleting never removes what was uploaded meanwhile', async () => {
  const [absent, broken] = [makePack(), makePack()];
  for (const pack of [absent, broken]) await reserve(pack);
  const key = packKey(a.vaultId, broken.id);
  const junk = makePack();
  await bed.blobs.put(key, junk.bytes, { length: junk.bytes.length, sha256: junk.id });
  bed.knobs.now += 2000;
  // the first sweeper has seen that nothing whole is there, and stalls before it acts
  let wake: () => void = () => undefined;
  const asleep = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const deps = { ...bed.deps, blobs: stalling(bed.blobs, asleep) };
  const stalled = sweepPending(deps);
  expect((await a.call('PUT', `/v1/packs/${absent.id}`, absent.bytes)).status).toBe(201);
  await sweepPending(bed.deps);
  expect(await rowOf(broken.id)).toMatchObject({ state: 'gone' });
  const again = await a.call('PUT', `/v1/packs/${broken.id}`, broken.bytes);
  expect([again.status, again.json['code']]).toEqual([410, 'pack-gone']);
  wake();
  await stalled;
  expect((await a.call('GET', `/v1/packs/${absent.id}`)).bytes.equals(absent.bytes)).toBe(true);
  expect((await rowOf(broken.id))?.state).toBe('gone');
  expect(await bed.blobs.stat(key)).toBeUndefined();
  // I7: what counts is what is there
  const rows = await bed.deps.db.read((m) => m.findBy(PackEntity, { vaultId: a.vaultId }));
  const kept = rows.filter(({ state }) => state !== 'gone');
  expect(await usedBytes()).toBe(kept.reduce((sum, { length }) => sum + length, 0));
});

/** The same store, whose reads answer what they found only after `until`. */
function stalling(blobs: BlobStore, until: Promise<void>): BlobStore {
  return new Proxy(blobs, {
    get(target, name) {
      if (name === 'get')
        return async (key: string) => {
          const found = await target.get(key);
          const pieces: Uint8Array[] = [];
          for await (const piece of found?.body ?? []) pieces.push(Buffer.from(piece));
          await until;
          return found && { ...found, body: pieces };
        };
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

test('a wrong upload does not undo the reservation of a crash whose object is there', async () => {
  const pack = makePack();
  await reserve(pack);
  await bed.blobs.put(packKey(a.vaultId, pack.id), pack.bytes, { length: pack.bytes.length, sha256: pack.id });
  expect((await a.call('PUT', `/v1/packs/${pack.id}`, makePack().bytes)).status).toBe(422);
  bed.knobs.now += 4 * 3600 * 1000;
  expect((await sweepPending(bed.deps)).stored).toBeGreaterThan(0);
  expect((await a.call('GET', `/v1/packs/${pack.id}`)).status).toBe(200);
});

test('R-08: an entry that was committed but not copied is copied by the sweep', async () => {
  const { vaultId } = a;
  const request = a.snapshot([]);
  await a.append(request);
  const key = journalKey(vaultId, a.head.seq);
  const stored = (await readBlob(bed.blobs, key, 1e7)) ?? Buffer.alloc(0);
  await bed.deps.db.write(async (m) => {
    await dropRefusal(m, 'entry_no_change', 'entry');
    const attachment = Buffer.from(parseFrame(stored).attachment);
    await m.update(EntryEntity, { vaultId, seq: a.head.seq }, { mirrored: false, attachment });
  });
  await bed.blobs.delete(key);
  expect((await a.call('GET', '/v1/journal')).headers.get('safe-head')).toBe('1');
  expect((await sweepPending(bed.deps)).mirrored).toBe(1);
  expect(await readBlob(bed.blobs, key, 1e7)).toEqual(stored);
  expect((await a.call('GET', '/v1/journal')).headers.get('safe-head')).toBe('2');
});
