import { PACK_GRANULE_BYTES, parseHistory, pathOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../support/process.ts';
import type { Answer, ProtocolClient } from '../support/protocol-client.ts';
import { head, RawConnection } from '../support/raw-http.ts';
import { Tenants } from '../support/tenants.ts';

let tenants: Tenants;
let a: ProtocolClient;

beforeAll(async () => {
  tenants = await Tenants.create({ env: { SAFE_PENDING_MINUTES: '1' } });
  a = tenants.a;
  await a.send();
});
afterAll(() => tenants[Symbol.asyncDispose]());

/** Restarts the server so that it dies by SIGKILL at the next passing of `point`, has `act` done to it, and brings it back. */
async function killedAt(point: string, act: () => Promise<unknown>): Promise<void> {
  const { server } = tenants.world;
  await server.stop('SIGKILL'); // quicker than to drain
  await server.start({ env: { SAFE_CRASH_AT: point } });
  await expect(act()).rejects.toThrow(); // nobody heard an answer
  await server.ended();
  await server.start();
}

/** Kills the server, whatever it does, and brings it back. */
async function killed(): Promise<void> {
  await tenants.world.server.stop('SIGKILL');
  await tenants.world.server.start();
}

/** Lets the time of reservations pass; the sweeper of the next start settles them. */
async function swept(): Promise<void> {
  tenants.clock.advance(120_000);
  await tenants.world.server.stop();
  await tenants.world.server.start();
  await until(
    () => (tenants.temporary().length === 0 ? true : undefined),
    () => `left: ${tenants.temporary().join(' ')}`,
  );
}

/** What the server counts is what lies in the bucket (I7). */
async function expectCounted(): Promise<void> {
  await until(
    async () => {
      const { usedObjects } = await a.used();
      return usedObjects === packsInBucket().length ? true : undefined;
    },
    () => `${packsInBucket().length} packs in the bucket, another number is counted`,
  );
  expect((await a.used()).usedBytes).toBe(packsInBucket().length * PACK_GRANULE_BYTES);
}

/** What the server itself takes for its own failure. */
const failures = (): string[] => tenants.world.server.log.split('\n').filter((line) => line.includes('"level":50'));

const packsInBucket = (): string[] => tenants.objects(`v/${a.keys.vaultId}/p/`);

async function history(): Promise<string[]> {
  const frames = parseHistory((await a.call('GET', pathOf('journal'))).bytes);
  return frames.map(({ entry }) => entry.hash);
}

describe('a server that is killed while packs arrive', () => {
  it('F-13 in the middle of an upload: the half is swept, the same upload succeeds', async () => {
    const pack = a.seal();
    const before = packsInBucket().length;
    using connection = await RawConnection.to(tenants.url);
    const lines = [`host: x`, `authorization: Bearer ${a.token}`, 'content-type: application/octet-stream'];
    connection.write(
      head(`PUT ${pathOf('pack', { packId: pack.packId })}`, [...lines, `content-length: ${pack.bytes.length}`]),
    );
    connection.write(pack.bytes.subarray(0, 100_000));
    await until(
      () => (tenants.temporary().length === 1 ? true : undefined),
      () => 'no upload began',
    );
    await killed();
    await connection.closed();
    await until(
      () => (tenants.temporary().length === 0 ? true : undefined), // the server's own first writes may be under way
      () => `left: ${tenants.temporary().join(' ')}`,
    );
    expect(packsInBucket()).toHaveLength(before);
    expect((await a.put(pack)).status).toBe(201);
    await expectCounted();
  });

  it('F-13 in the middle of an upload that is not tried again: its reservation is given back', async () => {
    await killedAt('pack-temp', () => a.put(a.seal()));
    expect((await a.used()).usedObjects).toBe(packsInBucket().length + 1);
    await swept();
    await expectCounted();
  });

  it.each(['pack-pending', 'pack-temp', 'pack-renamed', 'pack-stored'])(
    'F-14, F-15 at %s: the same upload succeeds and counts once',
    async (point) => {
      const pack = a.seal();
      await killedAt(point, () => a.put(pack));
      const again = await a.put(pack);
      expect([again.status, failures()]).toEqual([point === 'pack-stored' ? 200 : 201, []]);
      expect((await a.put(pack)).status).toBe(200);
      expect((await a.call('GET', pathOf('pack', { packId: pack.packId }))).bytes.equals(pack.bytes)).toBe(true);
      await expectCounted();
    },
  );

  it('F-14 an object without its note is adopted when nobody asks again, and a snapshot may use it', async () => {
    const pack = a.seal();
    await killedAt('pack-renamed', () => a.put(pack));
    expect((await a.call('HEAD', pathOf('pack', { packId: pack.packId }))).status).toBe(404); // not known to be whole yet
    await swept();
    await until(
      async () => ((await a.call('HEAD', pathOf('pack', { packId: pack.packId }))).status === 200 ? true : undefined),
      () => 'the pack was not adopted',
    );
    await expectCounted();
    expect((await a.append(a.snapshot(pack))).status).toBe(201);
  });
});

describe('a server that is killed while an entry is appended', () => {
  it.each(['append-row', 'append-committed', 'append-mirrored'])(
    'F-16, R-08 at %s: all or nothing, one entry for the seq, one receipt for ever',
    async (point) => {
      const pack = a.seal();
      expect((await a.put(pack)).status).toBe(201);
      const before = await history();
      const prepared = a.snapshot(pack);
      await killedAt(point, () => a.append(prepared));

      const isThere = point !== 'append-row';
      await until(
        async () => ((await history()).length === before.length + Number(isThere) ? true : undefined),
        () => 'what was committed is not shown by itself after the start', // the first sweep copies it to the bucket
      );
      expect((await history()).slice(0, before.length)).toEqual(before);
      expect((await a.account<{ head: { seq: number } }>()).head.seq).toBe(before.length + Number(isThere));

      const first = await a.append(prepared);
      expect(first.status).toBe(isThere ? 200 : 201);
      const second = await a.append(prepared);
      expect([second.status, second.json]).toEqual([200, first.json]);
      const after = await history();
      expect(after).toHaveLength(before.length + 1);
      expect(tenants.objects(`v/${a.keys.vaultId}/j/`)).toHaveLength(after.length);
      expect((await a.call('GET', pathOf('record', { snapshotId: prepared.id }))).status).toBe(200);
    },
  );

  it('R-08 of two entries for one place, one sent before the kill and one after it, one wins', async () => {
    for (const point of ['append-row', 'append-committed', 'append-mirrored']) {
      const { seq } = a.head;
      const [lost, other] = [a.seal(), a.seal()];
      for (const pack of [lost, other]) expect((await a.put(pack)).status).toBe(201);
      const [one, two] = [a.snapshot(lost), a.snapshot(other)];
      await killedAt(point, () => a.append(one));
      const answers: Answer[] = [await a.call('POST', pathOf('journal'), two.bytes), await a.append(one)];
      const taken = point === 'append-row' ? [201, 409] : [409, 200];
      expect([point, ...answers.map(({ status }) => status)]).toEqual([point, ...taken]);
      const loser = answers.find(({ status }) => status === 409);
      expect(loser?.json).toMatchObject({ code: 'stale-head', head: { seq: seq + 1 } });
      if (point === 'append-row') expect((await a.append(two)).status).toBe(200);
      expect(await history()).toHaveLength(seq + 1);
    }
  });
});
