import { setTimeout as pause } from 'node:timers/promises';
import { PACK_GRANULE_BYTES } from '@cresus-safe/protocol/public';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { onVaultCreated } from '../accounts/devices.ts';
import { enrol } from '../accounts/enrolment.ts';
import { DeviceEntity, MetaEntity } from '../accounts/entities.ts';
import { startTestServer, type TestServer } from '../app.test.bed.ts';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import { addSubscriber, newCode } from '../subscriptions/service.ts';
import { setOnce } from '../system.ts';
import { type Answer, addDevice, type Bed, type Client, makePack, startBed } from '../vaults/conversation.test.bed.ts';
import type { VaultDeps } from '../vaults/deps.ts';
import { PackEntity, VaultEntity } from '../vaults/entities.ts';
import { journalOf } from '../vaults/journal.test.bed.ts';
import type { Db } from './unit-of-work.ts';

// Two servers of one service, each with its own connections: what holds here holds by the database, not by a queue in a process.

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const problemOf = ({ status, json }: Answer) => (status < 300 ? String(status) : `${status} ${String(json['code'])}`);
const count = (all: readonly string[], one: string) => all.filter((it) => it === one).length;

let beds: [Bed, Bed];
let servers: [TestServer, TestServer];

beforeAll(async () => {
  const bed = await startBed({ folder: true });
  beds = [bed, await startBed({ beside: bed })];
  const server = await startTestServer();
  servers = [server, await startTestServer({}, undefined, server)];
});

afterAll(async () => {
  for (const server of [...beds, ...servers].reverse()) await server.close();
});

const db = (i: number): Db => (beds[i % 2] as Bed).deps.db;
const url = (i: number): string => (beds[i % 2] as Bed).url;
const deps = (i: number): Deps => (servers[i % 2] as TestServer).deps;

describe('two servers of vaults', () => {
  /** The vault of a new subscriber, as seen from a device on each of the servers. */
  async function vaultOnBoth(number: string): Promise<[Client, Client]> {
    const here = await beds[0].subscriber(number);
    expect((await here.createVault()).status).toBe(201);
    const there = here.sibling();
    there.url = url(1);
    await addDevice(db(0), there, 'active');
    return [here, there];
  }

  const put = (client: Client, pack: { id: string; bytes: Buffer }) =>
    client.call('PUT', `/v1/packs/${pack.id}`, pack.bytes);

  /** What the vault says it uses, and what its rows say (I7). */
  const use = (vaultId: string) =>
    db(0).read(async (m) => {
      const { usedBytes, usedObjects } = await m.findOneByOrFail(VaultEntity, { vaultId });
      const rows = (await m.findBy(PackEntity, { vaultId })).filter(({ state }) => state !== 'gone');
      return { usedBytes, usedObjects, rows };
    });

  async function expectCounted(vaultId: string): Promise<number> {
    const { usedBytes, usedObjects, rows } = await use(vaultId);
    expect(usedBytes).toBe(rows.reduce((sum, { length }) => sum + length, 0));
    expect(usedObjects).toBe(rows.length);
    return usedBytes;
  }

  /** Runs `work` while the vault is looked at again and again; the most that it ever used. */
  async function mostUsed<T>(vaultId: string, work: Promise<T>): Promise<{ result: T; most: number }> {
    let most = 0;
    let ended = false;
    const looking = (async () => {
      while (!ended) {
        const { usedBytes } = await db(1).read((m) => m.findOneByOrFail(VaultEntity, { vaultId }));
        most = Math.max(most, usedBytes);
        await pause(2);
      }
    })();
    const result = await work.finally(() => {
      ended = true;
    });
    await looking;
    return { result, most };
  }

  test('F-31: of twenty parallel mixed writes of two servers nothing acknowledged is lost, nothing undone stays', async () => {
    await db(0).write((m) => m.insert(MetaEntity, { name: 'sum', value: '0' }));
    await db(0).write((m) =>
      m.insert(
        MetaEntity,
        range(20).map((i) => ({ name: `old-${i}`, value: '' })),
      ),
    );
    const results = await Promise.allSettled(
      range(20).map((i) =>
        db(i).write(async (m) => {
          await m.insert(MetaEntity, { name: `new-${i}`, value: '' });
          await pause(i % 3);
          const more = () => 'CAST(CAST(value AS bigint) + 1 AS varchar)';
          await m.createQueryBuilder().update(MetaEntity).set({ value: more }).where({ name: 'sum' }).execute();
          await m.update(MetaEntity, { name: `new-${i}` }, { value: String(i) });
          await m.delete(MetaEntity, { name: `old-${i}` });
          if (i === 7) throw new Error('this one is undone');
          return i;
        }),
      ),
    );
    const done = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(done).toEqual(range(20).filter((i) => i !== 7));
    const rows = await db(1).read((m) => m.find(MetaEntity));
    const facts = Object.fromEntries(rows.map(({ name, value }) => [name, value]));
    expect(facts).toEqual({ sum: '19', 'old-7': '', ...Object.fromEntries(done.map((i) => [`new-${i}`, String(i)])) });
  });

  test('two servers that name the database at once agree on one id', async () => {
    for (const round of range(10)) {
      const name = `server-${round}`;
      const ids = await Promise.all(range(4).map((i) => db(i).write((m) => setOnce(m, name, `id-${i}`))));
      expect(new Set(ids).size).toBe(1);
      expect(await db(1).read((m) => m.findOneBy(MetaEntity, { name }))).toEqual({ name, value: ids[0] });
    }
  });

  test('TN-32: reservations over two servers never exceed the quota together; losers hear so', async () => {
    const clients = await vaultOnBoth('2001');
    const { vaultId } = clients[0];
    const packs = range(16).map((i) => makePack(1 + (i % 2)));
    const quotaBytes = 7 * PACK_GRANULE_BYTES;
    beds[0].knobs.subscription = { ...beds[0].knobs.subscription, quotaBytes };
    const all = Promise.all(packs.map((pack, i) => put(clients[(i >> 1) % 2] as Client, pack)));
    const { result, most } = await mostUsed(vaultId, all);
    const said = result.map(problemOf);
    expect(new Set(said)).toEqual(new Set(['201', '507 quota']));
    const taken = packs.reduce((sum, { bytes }, i) => sum + (said[i] === '201' ? bytes.length : 0), 0);
    expect(most).toBeLessThanOrEqual(quotaBytes);
    expect(taken).toBe(quotaBytes); // those of one granule fill what one of two leaves
    expect(await expectCounted(vaultId)).toBe(taken);
  });

  test('TN-32: uploads that fail give their reservation back once, whoever else uploads', async () => {
    const clients = await vaultOnBoth('2002');
    const { vaultId } = clients[0];
    const quotaBytes = 6 * PACK_GRANULE_BYTES;
    beds[0].knobs.subscription = { ...beds[0].knobs.subscription, quotaBytes };
    const good = range(8).map(() => makePack());
    const wrong = range(8).map(() => ({ id: makePack().id, bytes: makePack().bytes }));
    const all = [...good, ...wrong].map((pack, i) => put(clients[i % 2] as Client, pack));
    const { result, most } = await mostUsed(vaultId, Promise.all(all));
    const said = result.map(problemOf);
    expect(said.every((it) => ['201', '507 quota', '422 hash-mismatch'].includes(it))).toBe(true);
    expect(most).toBeLessThanOrEqual(quotaBytes);
    expect(await expectCounted(vaultId)).toBe(count(said, '201') * PACK_GRANULE_BYTES);
  });

  test('the same pack from both servers at once is one object, counted once', async () => {
    const clients = await vaultOnBoth('2003');
    const { vaultId } = clients[0];
    beds[0].knobs.subscription = { ...beds[0].knobs.subscription, quotaBytes: 1e9 };
    for (const round of range(10)) {
      const pack = makePack();
      const answers = await Promise.all(range(4).map((i) => put(clients[i % 2] as Client, pack)));
      expect(answers.every(({ status }) => status === 201 || status === 200)).toBe(true);
      expect(await expectCounted(vaultId)).toBe((round + 1) * PACK_GRANULE_BYTES);
      expect((await clients[1].call('GET', `/v1/packs/${pack.id}`)).bytes.equals(pack.bytes)).toBe(true);
    }
  });

  test('TN-28: of two entries that two servers get for one place, thirty times, exactly one is taken', async () => {
    const clients = await vaultOnBoth('2004');
    beds[0].knobs.subscription = { ...beds[0].knobs.subscription, quotaBytes: 1e9 };
    const packId = await clients[0].putPack();
    for (const round of range(30)) {
      const answers = await Promise.all(clients.map((client) => client.append(client.snapshot([packId]))));
      const won = answers.findIndex(({ status }) => status === 201);
      const lost = answers[1 - won] as Answer;
      expect(answers.map(problemOf).sort()).toEqual(['201', '409 stale-head']);
      const { head } = clients[won] as Client;
      expect([head.seq, lost.json['head']]).toEqual([round + 2, head]);
      (clients[1 - won] as Client).head = head;
    }
    const journals = await Promise.all(clients.map((client) => journalOf(client)));
    for (const { frames } of journals)
      expect(frames.map(({ entry }) => entry.seq)).toEqual(range(31).map((i) => i + 1));
    await expectCounted(clients[0].vaultId);
  });

  test('TN-28: one entry that reaches both servers at once is one entry with one receipt', async () => {
    const [here] = await vaultOnBoth('2005');
    const packId = await here.putPack();
    for (const round of range(10)) {
      const twin = Object.assign(here.sibling(), { url: url(1), deviceId: here.deviceId, token: here.token });
      const request = here.snapshot([packId]);
      const answers = await Promise.all([here.append(request), twin.append(request)]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 201]);
      expect(answers[0].json['receipt']).toBe(answers[1].json['receipt']);
      if (answers[0].status === 200) here.head = twin.head;
      expect(here.head.seq).toBe(round + 2);
    }
  });
});

describe('two whole servers', () => {
  const devicesOf = (number: string) => deps(0).db.read((m) => m.findBy(DeviceEntity, { number }));

  test('TN-27: one code redeemed by twenty at once on two servers makes exactly one device', async () => {
    const { number, code } = await servers[0].subscriber();
    const results = await Promise.allSettled(
      range(20).map((i) => enrol(deps(i), { code, name: `PC ${i}`, ip: `192.0.2.${i}` })),
    );
    const done = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.deviceId] : []));
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as ServerError] : []));
    expect(done).toHaveLength(1);
    expect(refused.map((error) => error instanceof ServerError && error.code)).toEqual(Array(19).fill('code-refused'));
    expect((await devicesOf(number)).map(({ deviceId }) => deviceId)).toEqual(done);
  });

  test('TN-27: a device that enrols while the vault is being made is pending: it has shown no key', async () => {
    const maker = await beds[0].subscriber('2006');
    const { blobs, ring } = beds[0].deps;
    const there = { ...deps(1), db: db(1), blobs, ring };
    const { code } = await newCode(there, 'test', '2006');
    let enrolling: ReturnType<typeof enrol> | undefined;
    const overtaken: VaultDeps['onVaultCreated'] = async (...facts) => {
      await onVaultCreated(...facts);
      enrolling ??= enrol(there, { code, name: 'PC', ip: '192.0.2.100' });
      await Promise.race([enrolling, pause(300)]); // it must not get past this unit of work
    };
    Object.assign(beds[0].deps, { onVaultCreated: overtaken });
    expect((await maker.createVault()).status).toBe(201);
    Object.assign(beds[0].deps, { onVaultCreated });
    const device = await enrolling;
    expect(device?.vault).toBe('exists');
    const rows = await db(0).read((m) => m.findBy(DeviceEntity, { number: '2006' }));
    const states = Object.fromEntries(rows.map(({ deviceId, state }) => [deviceId, state]));
    expect(states).toEqual({ [maker.deviceId]: 'active', [String(device?.deviceId)]: 'pending' });
  });

  test('subscribers added at the same moment get numbers of their own', async () => {
    const facts = { email: 'info@rochat.example', language: 'fr', expiresOn: '2050-12-31', quotaBytes: 1e9 } as const;
    const added = await Promise.all(
      range(12).map((i) => addSubscriber(deps(i), 'test', { ...facts, number: undefined, name: `Nr. ${i}` })),
    );
    const numbers = added.map(({ subscriber }) => Number(subscriber.number)).sort((a, b) => a - b);
    expect(numbers).toEqual(range(12).map((i) => (numbers[0] as number) + i));
  });

  test('a subscriber of the longest number does not stop the counting', async () => {
    const facts = {
      name: 'X',
      email: 'x@rochat.example',
      language: 'fr',
      expiresOn: '2050-12-31',
      quotaBytes: 1e9,
    } as const;
    await addSubscriber(deps(0), 'test', { ...facts, number: '99999999999' });
    const { subscriber } = await addSubscriber(deps(1), 'test', { ...facts, number: undefined });
    expect(subscriber.number).toBe('100000000000');
  });
});
