import { ROUTES } from '@cresus-safe/protocol/http';
import { parseHistory } from '@cresus-safe/protocol/public';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startTestServer, type TestServer } from '../app.test.bed.ts';
import { findBehind } from '../jobs/behind.ts';
import { scrub } from '../jobs/scrub.ts';
import { sweepPending } from '../jobs/sweep.ts';
import { readHeartbeat, writeHeartbeat } from '../keyring/heartbeat.ts';
import { Client, makePack } from '../vaults/conversation.test.bed.ts';
import { PackEntity, VaultEntity } from '../vaults/entities.ts';
import { reservePack } from '../vaults/pack-store.ts';
import { packKey } from './keys.ts';
import { MemoryStore } from './memory-store.ts';
import type { BlobStore } from './store.ts';
import { verifyStore } from './verify-store.ts';

// A store whose lists are minutes old, as some grids' are: what is new is missing from them, what is gone still shows.

class StaleList extends MemoryStore {
  #shown: string[] | undefined;

  /** From now on lists show what is there at this moment. */
  async freeze(): Promise<void> {
    this.#shown = await keysOf(this);
  }

  thaw(): void {
    this.#shown = undefined;
  }

  override async *list(prefix: string): AsyncIterable<string> {
    if (this.#shown === undefined) yield* super.list(prefix);
    else yield* this.#shown.filter((key) => key.startsWith(prefix));
  }
}

async function keysOf(store: BlobStore): Promise<string[]> {
  const keys: string[] = [];
  for (const prefix of ['a/', 'l/', 'meta/', 'v/']) for await (const key of store.list(prefix)) keys.push(key);
  return keys;
}

const MINUTE = 60_000;
let store: StaleList;
let server: TestServer;
let neighbour: TestServer;

beforeAll(async () => {
  store = new StaleList();
  server = await startTestServer({}, store);
  neighbour = await startTestServer({}, store, server);
});

afterAll(async () => {
  await neighbour.close();
  await server.close();
});

async function enrolled(): Promise<Client> {
  const { number, code } = await server.subscriber();
  return Object.assign(new Client(server.url, number), await server.enrol(code));
}

/** Another computer of the same subscriber. */
async function other(client: Client): Promise<Client> {
  const device = Object.assign(client.sibling(), await server.enrol(await server.code(client.number), 'PC 2'));
  const challenge = (await device.call('GET', ROUTES.vault)).json['challenge'] as string;
  const signature = Buffer.from(device.proof(Buffer.from(challenge, 'base64'))).toString('base64');
  expect((await device.call('POST', ROUTES.proof, { signature })).status).toBeLessThan(300);
  return device;
}

/** What a kill leaves after the reservation. */
async function reserve(client: Client, { id, bytes }: { id: string; bytes: Buffer }): Promise<void> {
  const { now } = server.time;
  const pack = { vaultId: client.vaultId, packId: id, length: bytes.length };
  await server.deps.db.write((m) => reservePack(m, pack, { now, expiresAt: now + 1000, quotaBytes: 1e9 }));
}

async function put(client: Client, id: string, { bytes, id: sha256 }: { id: string; bytes: Buffer }): Promise<void> {
  await store.put(packKey(client.vaultId, id), bytes, { length: bytes.length, sha256 });
}

test('F-37: over a store with stale lists, sends, sweeps, heartbeats and restores are right', async () => {
  const a = await enrolled();
  await a.createVault();
  const first = makePack();
  expect((await a.append(a.snapshot([await a.putPack(first)]))).status).toBe(201);
  const [broken, lost, arrived] = [makePack(), makePack(), makePack()];
  for (const pack of [broken, lost, arrived]) await reserve(a, pack);
  await put(a, broken.id, makePack());
  await writeHeartbeat(server.deps);
  await store.freeze();

  // sends: new packs, entries, accounts and devices, from two servers in turn
  const second = makePack();
  expect((await a.append(a.snapshot([await a.putPack(second)]))).status).toBe(201);
  a.url = neighbour.url;
  expect((await a.append(a.snapshot([first.id, second.id]))).status).toBe(201);
  expect((await a.call('PUT', `/v1/packs/${second.id}`, second.bytes)).status).toBeLessThan(300);
  const b = await enrolled();
  await b.createVault();

  // the sweep: adopts an object that no list shows, lets go of one that lists go on showing
  await put(a, arrived.id, arrived);
  server.time.now += 24 * 60 * MINUTE;
  expect(await sweepPending(server.deps)).toMatchObject({ stored: 1, released: 2 });
  expect(await keysOf(store)).toContain(packKey(a.vaultId, broken.id));
  expect(await keysOf(store)).not.toContain(packKey(a.vaultId, arrived.id));
  expect(await store.stat(packKey(a.vaultId, broken.id))).toBeUndefined();
  expect((await a.call('PUT', `/v1/packs/${broken.id}`, broken.bytes)).status).toBe(410);
  expect(await sweepPending(neighbour.deps)).toMatchObject({ stored: 0, released: 0, mirrored: 0 });
  const stored = await server.deps.db.read((m) => m.findBy(PackEntity, { vaultId: a.vaultId, state: 'stored' }));
  expect(stored.map(({ packId }) => packId).sort()).toEqual([first.id, second.id, arrived.id].sort());
  const { usedBytes } = await server.deps.db.read((m) => m.findOneByOrFail(VaultEntity, { vaultId: a.vaultId }));
  expect(usedBytes).toBe(stored.reduce((sum, { length }) => sum + length, 0));

  // neither is the database taken for an old one, nor anything for lost
  expect(await findBehind(server.deps)).toBeUndefined();
  expect(await scrub(server.deps, { percent: 100 })).toMatchObject({ damaged: [], lostRecords: [], framesWritten: 0 });

  // restores: another computer, which knows nothing, at the other server
  const c = await other(a);
  for (const url of [server.url, neighbour.url]) {
    c.url = url;
    const frames = parseHistory((await c.call('GET', '/v1/journal')).bytes);
    expect(frames.map(({ entry }) => Number(entry.seq))).toEqual([1, 2, 3, 4]);
    for (const { id, bytes } of [first, second, arrived])
      expect((await c.call('GET', `/v1/packs/${id}`)).bytes.equals(bytes)).toBe(true);
  }
});

test('F-37: the heartbeat survives lists that hide it and show the ones before', async () => {
  const beats = async () => (await keysOf(store)).filter((key) => key.startsWith('meta/clock/'));
  store.thaw();
  await writeHeartbeat(server.deps);
  await store.freeze();
  const old = await beats();
  expect(old).toHaveLength(1);
  for (let round = 0; round < 3; round++) {
    server.time.now += MINUTE;
    await writeHeartbeat(round === 1 ? neighbour.deps : server.deps);
  }
  expect(await beats()).toEqual(old); // the one that is gone; reading skips it instead of calling it damaged
  expect(await store.stat(old[0] ?? '')).toBeUndefined();
  expect(await readHeartbeat(store, server.deps.ring)).toBeUndefined();
  store.thaw();
  expect(await beats()).toHaveLength(3); // what the lists hid was not removed, and what counts is the newest
  expect(await readHeartbeat(store, server.deps.ring)).toMatchObject({ time: server.time.now });
  server.time.now += MINUTE;
  await writeHeartbeat(server.deps);
  expect(await beats()).toHaveLength(1);
  expect(await readHeartbeat(store, server.deps.ring)).toMatchObject({ time: server.time.now });
});

test('F-37: verify-store tells an operator of stale lists, as something wished', async () => {
  await store.freeze();
  const { ok, checks } = await verifyStore(store);
  expect(ok).toBe(true);
  expect(checks.filter(({ result }) => result === 'failed')).toEqual([
    { name: 'list', need: 'wished', result: 'failed', detail: 'new objects are not listed' },
  ]);
});
