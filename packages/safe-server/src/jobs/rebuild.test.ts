import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_PLAN, encodePlan } from '@cresus-safe/protocol/public';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { revokeDevice } from '../accounts/devices.ts';
import { SubscriberEntity } from '../accounts/entities.ts';
import { mirrorChanges } from '../accounts/mirror.ts';
import { startTestServer, type TestServer } from '../app.test.bed.ts';
import { journalKey, packKey } from '../blobs/keys.ts';
import { testDatabase } from '../db/database.test.bed.ts';
import { SCHEMA } from '../db/entities.ts';
import { Db } from '../db/unit-of-work.ts';
import type { Deps } from '../deps.ts';
import { KeyRing } from '../keyring/ring.ts';
import { changeSubscriber } from '../subscriptions/service.ts';
import { Client, makePack } from '../vaults/conversation.test.bed.ts';
import { codeOf } from '../vaults/journal.test.bed.ts';
import { findBehind } from './behind.ts';
import { rebuild } from './rebuild.ts';

let server: TestServer;
let dir: string;
const opened: Db[] = [];

beforeEach(async () => {
  server = await startTestServer();
  dir = await mkdtemp(join(tmpdir(), 'safe-rebuild-'));
});
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close();
  await server.close();
  await rm(dir, { recursive: true });
});

const quiet = () => undefined;

/** The same server on an empty database. */
async function emptied(name = 'new.sqlite'): Promise<Deps> {
  const db = await Db.open(testDatabase(join(dir, name)), SCHEMA);
  opened.push(db);
  return { ...server.deps, db };
}

async function enrolled(code: string, like?: Client): Promise<Client> {
  const { deviceId, token } = await server.enrol(code);
  const client = like?.sibling() ?? new Client(server.url, '');
  return Object.assign(client, { deviceId, token });
}

async function put(client: Client): Promise<string> {
  return await client.putPack(makePack());
}

async function taken(client: Client, request: { bytes: Uint8Array; entry: Uint8Array }): Promise<void> {
  const answer = await client.append(request);
  if (answer.status !== 201) throw new Error(`append: ${answer.status} ${JSON.stringify(answer.json)}`);
  server.time.now += 60_000;
}

/** Three subscribers with everything that can happen to them. */
async function story(): Promise<Client[]> {
  const subscribers = [await server.subscriber(), await server.subscriber(), await server.subscriber()];
  const clients: Client[] = [];
  for (const { number, code } of subscribers) {
    const client = await enrolled(code);
    await client.createVault();
    const packs = [await put(client), await put(client)];
    const first = client.snapshot(packs);
    await taken(client, first);
    const second = client.snapshot([packs[0] ?? '', await put(client)]);
    await taken(client, second);
    const held = { holdUntil: 20361231, subject: second.id as never };
    await taken(client, client.request('year-closed', { fields: held }));
    await taken(client, client.request('plan', { attachment: encodePlan(DEFAULT_PLAN) }));
    const header = client.nextHeader({}, client.seed);
    await taken(client, client.request('slot-change', { attachment: header.bytes, share: client.share }));
    client.header = header;
    await put(client); // one that no snapshot lists yet
    const revoked = await enrolled(await server.code(number), client);
    await server.deps.db.write((m) => revokeDevice(m, { number, deviceId: revoked.deviceId, now: server.time.now }));
    await enrolled(await server.code(number), client); // stays pending
    clients.push(client);
  }
  const [a, b, c] = subscribers.map(({ number }) => number);
  const change = (number = '', facts: object) =>
    changeSubscriber(server.deps, 'test', { number, operation: 'test', change: facts });
  await change(a, { suspended: true });
  await change(b, { expiresOn: '2051-06-30', quotaBytes: 5e9 });
  await change(c, { temporaryQuotaBytes: 9e9, quotaUntil: '2027-01-31', name: 'Autre nom' });
  await mirrorChanges(server.deps);
  return clients;
}

/** Columns that the bucket does not have: when a device was last seen, when a pack came (its first use stands in). */
const LOST: Readonly<Record<string, readonly string[]>> = {
  device: ['last_seen_at'],
  pack: ['created_at', 'unreferenced_since', 'scrubbed_at'],
};
const TABLES = ['subscriber', 'device', 'vault', 'entry', 'snapshot', 'header', 'mandate', 'pack'];

/** Every row of every table, in an order of its own, without what may be lost. */
async function dump(db: Db): Promise<Record<string, string[]>> {
  const tables: Record<string, string[]> = {};
  for (const table of TABLES) {
    const rows = await db.read((m) => m.query(`SELECT * FROM ${table}`) as Promise<Record<string, unknown>[]>);
    const kept = rows.map((row) => Object.entries(row).filter(([column]) => !LOST[table]?.includes(column)));
    tables[table] = kept.map((row) => JSON.stringify(row)).sort();
  }
  return tables;
}

describe('a database that is lost', () => {
  test('F-35, R-03 comes back table by table from bucket and key ring, and is not behind', async () => {
    await story();
    const before = await dump(server.deps.db);
    const deps = await emptied();
    const result = await rebuild(deps, quiet);
    expect(result).toMatchObject({ accounts: 3, devices: 9, vaults: 3, entries: 18, packs: 12, damaged: [] });
    expect(await dump(deps.db)).toEqual(before);
    expect(await findBehind(deps)).toBeUndefined();
    expect(await rebuild(deps, quiet)).toMatchObject({ entries: 0, packs: 0, changed: 0 });
  });

  test('R-03 a ring that is not the one of this bucket changes nothing', async () => {
    await story();
    const deps = await emptied();
    const ring = KeyRing.create(randomBytes, server.time.now);
    await expect(rebuild({ ...deps, ring }, quiet)).rejects.toMatchObject({ key: 'keys.cannot-open' });
    for (const rows of Object.values(await dump(deps.db))) expect(rows).toEqual([]);
  });

  test('a journal that breaks off is rebuilt to the break and told; once whole, the rest follows', async () => {
    const [client] = await story();
    if (client === undefined) throw new Error('there is a client');
    const before = await dump(server.deps.db);
    const key = journalKey(client.vaultId, 3);
    const parts: Buffer[] = [];
    for await (const piece of (await server.deps.blobs.get(key))?.body ?? []) parts.push(Buffer.from(piece));
    const bytes = Buffer.concat(parts);
    await server.deps.blobs.delete(key);
    const deps = await emptied();
    const broken = await rebuild(deps, quiet);
    expect(broken.entries).toBe(2 + 6 + 6);
    expect(broken.damaged).toMatchObject([{ vaultId: client.vaultId, gap: { seq: 3, reason: 'missing' } }]);
    const { createHash } = await import('node:crypto');
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await server.deps.blobs.put(key, bytes, { length: bytes.length, sha256 });
    expect(await rebuild(deps, quiet)).toMatchObject({ entries: 4, damaged: [] });
    expect(await dump(deps.db)).toEqual(before);
  });

  test('a pack of which only a forgotten snapshot knew was let go: no damage', async () => {
    const { code } = await server.subscriber();
    const client = await enrolled(code);
    await client.createVault();
    const [kept, purged] = [await put(client), await put(client)];
    const old = client.snapshot([kept, purged]);
    await taken(client, old);
    await taken(client, client.snapshot([kept]));
    await server.deps.db.write((m) => m.query("UPDATE device SET rights = 'read,append,forget'"));
    await taken(client, client.request('snapshot-forget', { fields: { subject: old.id as never } }));
    await server.deps.blobs.delete(packKey(client.vaultId, purged));
    const deps = await emptied();
    expect(await rebuild(deps, quiet)).toMatchObject({ entries: 4, damaged: [] });
    const packs = await deps.db.read(
      (m) => m.query("SELECT pack_id FROM pack WHERE state = 'gone'") as Promise<object[]>,
    );
    expect(packs).toEqual([{ pack_id: purged }]);
    const [vault] = await deps.db.read((m) => m.query('SELECT used_objects FROM vault') as Promise<object[]>);
    expect(JSON.stringify(vault)).toMatch(/:"?1"?}/);
  });

  test('a pack that is gone is a damaged pack of the right length, and is told', async () => {
    const [client] = await story();
    if (client === undefined) throw new Error('there is a client');
    const [row] = await server.deps.db.read(
      (m) => m.query('SELECT pack_id FROM pack WHERE first_seq = 3') as Promise<{ pack_id: string }[]>,
    );
    for (const vaultId of await vaultIds()) await server.deps.blobs.delete(packKey(vaultId, row?.pack_id ?? ''));
    const deps = await emptied();
    const { damaged } = await rebuild(deps, quiet);
    expect(damaged).toMatchObject([{ lostPacks: 1, gap: undefined }]);
    const lost = await deps.db.read(
      (m) => m.query('SELECT pack_id FROM pack WHERE damaged_since IS NOT NULL') as Promise<object[]>,
    );
    expect(lost).toEqual([row]);
    const used = (db: Db) => db.read((m) => m.query('SELECT vault_id, used_bytes FROM vault ORDER BY vault_id'));
    expect(await used(deps.db)).toEqual(await used(server.deps.db));
  });
});

async function vaultIds(): Promise<string[]> {
  const rows = await server.deps.db.read(
    (m) => m.query('SELECT vault_id FROM vault') as Promise<{ vault_id: string }[]>,
  );
  return rows.map((row) => row.vault_id);
}

describe('F-35 a database that is older than its bucket', () => {
  test('F-35 is seen by name, per account, device, vault; after catching up it is the newer one', async () => {
    const clients = await story();
    const deps = await emptied();
    await rebuild(deps, quiet); // this copy is yesterday's
    const client = clients[1];
    if (client === undefined) throw new Error('there is a client');
    await taken(client, client.snapshot([await put(client)]));
    expect(await findBehind(deps)).toBe(journalKey(client.vaultId, 7));
    const number = (await server.deps.db.read((m) => m.find(SubscriberEntity)))[2]?.number ?? '';
    await changeSubscriber(server.deps, 'test', { number, operation: 'test', change: { suspended: true } });
    expect(await findBehind(deps)).toMatch(`a/${number}/`);
    await server.subscriber();
    expect(await rebuild(deps, quiet)).toMatchObject({ accounts: 4, entries: 1, packs: 1, changed: 2 });
    expect(await findBehind(deps)).toBeUndefined();
    expect(await dump(deps.db)).toEqual(await dump(server.deps.db));
  });

  test('F-35 never takes a state of the bucket for its own', async () => {
    const { number } = await server.subscriber();
    const deps = await emptied();
    await rebuild(deps, quiet);
    const change = (to: Deps, expiresOn: string) =>
      changeSubscriber(to, 'test', { number, operation: 'test', change: { expiresOn } });
    await change(server.deps, '2060-12-31');
    await change(deps, '2055-12-31'); // the older database gives the same version to another change
    expect(await mirrorChanges(deps)).toBe(1);
    expect(await mirrorChanges(server.deps)).toBe(0);
  });

  test('F-35 while it is behind, requests are told to come later', async () => {
    const { code } = await server.subscriber();
    const client = await enrolled(code);
    server.lifecycle.behind = true;
    expect(codeOf(await client.call('GET', '/v1/account'))).toEqual([503, 'catching-up']);
    expect((await client.call('GET', '/health/ready')).status).toBe(503);
    expect((await client.call('GET', '/health/live')).status).toBe(200);
    server.lifecycle.behind = false;
    expect((await client.call('GET', '/v1/account')).status).toBe(200);
  });
});
