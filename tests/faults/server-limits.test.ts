import { closeSync, openSync, readdirSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { asSnapshotId, PACK_GRANULE_BYTES, parseHistory, pathOf } from '@cresus-safe/protocol';
import { afterEach, describe, expect, it } from '@jest/globals';
import { lacksSmallDisk, SmallDisk, testWith } from '../support/faults.ts';
import { until } from '../support/process.ts';
import { ask, type ProtocolClient, randomId, type SealedPack } from '../support/protocol-client.ts';
import { head, RawConnection } from '../support/raw-http.ts';
import { Tenants } from '../support/tenants.ts';

let tenants: Tenants | undefined;

async function begin(options: Parameters<typeof Tenants.create>[0]): Promise<Tenants> {
  tenants = await Tenants.create(options);
  return tenants;
}

afterEach(async () => {
  await tenants?.[Symbol.asyncDispose]();
  tenants = undefined;
});

/** An upload of which the server has all but the last bytes. */
async function almost(
  client: ProtocolClient,
  pack: SealedPack,
): Promise<{ connection: RawConnection; finish: () => void }> {
  const connection = await RawConnection.to(client.url);
  const type = 'content-type: application/octet-stream';
  const lines = ['host: x', `authorization: Bearer ${client.token}`, type, `content-length: ${pack.bytes.length}`];
  connection.write(head(`PUT ${pathOf('pack', { packId: pack.packId })}`, lines)).write(pack.bytes.subarray(0, -100));
  return { connection, finish: () => void connection.write(pack.bytes.subarray(-100)) };
}

describe('F-17 SIGTERM', () => {
  it('F-17 with 50 uploads in flight: they end well, new requests hear 503, and the process ends by itself', async () => {
    const { a, url, world } = await begin({ env: { SAFE_DEVICE_TRANSFERS: '60', SAFE_DRAIN_SECONDS: '30' } });
    const packs = Array.from({ length: 50 }, () => a.seal());
    const uploads = await Promise.all(packs.map((pack) => almost(a, pack)));
    await until(
      () => ((tenants?.temporary().length ?? 0) === 50 ? true : undefined),
      () => `${tenants?.temporary().length} of 50 uploads began`,
    );
    const stopped = world.server.stop('SIGTERM');
    await until(
      () =>
        ask(`${url}/health/live`).then(
          () => undefined,
          () => true,
        ),
      () => 'still takes connections',
    );
    const account = head(`GET ${pathOf('account')}`, ['host: x', `authorization: Bearer ${a.token}`]);
    for (const { connection, finish } of uploads) {
      finish();
      connection.write(account); // on a connection that is open: a client that knows of nothing
    }
    for (const { connection } of uploads) {
      expect((await connection.answer()).status).toBe(201);
      const next = await connection.answer();
      expect([next.status, JSON.parse(next.body).code]).toEqual([503, 'draining']);
      expect(Number(next.headers['retry-after'])).toBeGreaterThan(0);
      await connection.closed();
    }
    expect(await stopped).toBe(0);
    await world.server.start();
    expect(await a.used()).toEqual({ usedBytes: 50 * PACK_GRANULE_BYTES, usedObjects: 50 });
  });

  it('F-17 uploads that never end are cut when the time is over, and an append beside them is whole or not there', async () => {
    const { a, world } = await begin({ env: { SAFE_DRAIN_SECONDS: '2' } });
    const hanging = await Promise.all([a.seal(), a.seal(), a.seal()].map((pack) => almost(a, pack)));
    const pack = a.seal();
    expect((await a.put(pack)).status).toBe(201);
    const prepared = a.snapshot(pack);
    const appended = a.append(prepared).then(
      ({ status }) => status,
      () => undefined,
    );
    const begun = performance.now();
    expect(await world.server.stop('SIGTERM')).toBe(0);
    expect(performance.now() - begun).toBeLessThan(14_000);
    await Promise.all(hanging.map(({ connection }) => connection.closed()));
    await world.server.start();
    await until(
      () => (tenants?.temporary().length === 0 ? true : undefined), // the server's own first writes may be under way
      () => `left: ${tenants?.temporary().join(' ')}`,
    );
    const again = await a.append(prepared);
    expect([200, 201]).toContain(again.status);
    if ((await appended) === 201) expect(again.status).toBe(200);
    expect(parseHistory((await a.call('GET', pathOf('journal'))).bytes)).toHaveLength(2);
  });
});

describe('F-31, F-32 the database', () => {
  it('F-31 of twenty parallel uploads, appends, notes and refusals nothing that was acknowledged is lost', async () => {
    const { a, b } = await begin({});
    for (let round = 0; round < 3; round++) {
      const packs = Array.from({ length: 8 }, () => a.seal());
      const foreign = b.seal();
      const wrong = { ...a.seal(), bytes: new Uint8Array(PACK_GRANULE_BYTES) }; // rolls its reservation back
      const work = [
        ...packs.map((pack) => a.put(pack)),
        ...Array.from({ length: 5 }, () => a.put(wrong)),
        ...Array.from({ length: 4 }, () => a.call('POST', pathOf('seen'), { mandateRefs: [a.mandate.ref] })),
        b.put(foreign).then(() => b.append(b.snapshot(foreign))),
        b.call('GET', pathOf('vault')),
        a.append(a.about('year-closed', asSnapshotId(randomId(64)), 20_271_231)), // rolls back, or finds nothing to do
      ];
      const statuses = (await Promise.all(work)).map(({ status }) => status);
      expect(statuses).toEqual([...Array(8).fill(201), ...Array(5).fill(422), ...Array(4).fill(204), 201, 200, 404]);
      for (const pack of packs)
        expect((await a.call('HEAD', pathOf('pack', { packId: pack.packId }))).status).toBe(200);
      expect(await a.used()).toEqual({ usedBytes: (round + 1) * 8 * PACK_GRANULE_BYTES, usedObjects: (round + 1) * 8 });
    }
    expect((await b.account<{ head: { seq: number } }>()).head.seq).toBe(4);
  });

  it('F-32 while another process holds the database, reads go on; a short hold is waited out, a long one is 503', async () => {
    const { a, world } = await begin({});
    const pack = a.seal();
    expect((await a.call('GET', pathOf('journal'))).status).toBe(200); // notes its access now, not later
    using other = new DatabaseSync(join(world.server.dataDir, 'safe.sqlite'));
    other.exec('BEGIN IMMEDIATE');
    const put = a.put(pack);
    for (let reads = 0; reads < 10; reads++) {
      const begun = performance.now();
      expect((await a.call('GET', pathOf('account'))).status).toBe(200);
      expect((await ask(`${a.url}${pathOf('live')}`)).status).toBe(200);
      expect(performance.now() - begun).toBeLessThan(2_000);
    }
    other.exec('COMMIT');
    expect((await put).status).toBe(201);

    other.exec('BEGIN IMMEDIATE');
    const refused = await a.append(a.snapshot(pack));
    expect([refused.status, refused.code]).toEqual([503, 'busy']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    other.exec('COMMIT');
    expect((await a.append(a.snapshot(pack))).status).toBe(201);
    expect((await a.account<{ head: { seq: number } }>()).head.seq).toBe(2);
  });
});

const mountPoint = join(process.cwd(), '.cache', `small-${process.pid}`);

/** Every way to read what a restore needs, each in a run of its own, so that each wants a row in the access log. */
async function expectReads(client: ProtocolClient, { pack, id }: Pick<Sent, 'pack' | 'id'>): Promise<void> {
  const read = (path: string) => client.call('GET', path, undefined, { 'x-safe-run': randomId(32) });
  expect((await read(pathOf('pack', { packId: pack.packId }))).bytes.equals(pack.bytes)).toBe(true);
  for (const path of [pathOf('record', { snapshotId: id }), pathOf('journal'), pathOf('vault'), pathOf('account')])
    expect([path, (await read(path)).status]).toEqual([path, 200]);
}

type Sent = Awaited<ReturnType<ProtocolClient['send']>>;

describe('F-47 a full disk', () => {
  const onSmallDisk = testWith(lacksSmallDisk());

  onSmallDisk(
    'F-47 an upload that would touch the reserve hears 503 before it sends a byte; the rest goes on',
    async () => {
      await using disk = await SmallDisk.over(mountPoint, '4m');
      const { a } = await begin({
        wrap: disk.wrap,
        env: { SAFE_BLOBS: `file:${disk.dir}/blobs`, SAFE_RESERVE_MIB: '2' },
      });
      const sent = await a.send();
      const spare = a.seal();
      expect((await a.put(spare)).status).toBe(201);
      writeFileSync(join(disk.outside, 'other'), Buffer.alloc(1_400_000));
      const pack = a.seal();
      using connection = await RawConnection.to(a.url);
      const lines = ['host: x', `authorization: Bearer ${a.token}`, 'content-type: application/octet-stream'];
      const length = `content-length: ${pack.bytes.length}`;
      const path = pathOf('pack', { packId: pack.packId });
      connection.write(head(`PUT ${path}`, [...lines, length, 'expect: 100-continue']));
      const refused = await connection.answer();
      expect([refused.status, JSON.parse(refused.body).code]).toEqual([503, 'storage-full']);
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      expect((await a.used()).usedObjects).toBe(2);
      expect((await a.append(a.snapshot(spare))).status).toBe(201); // what was uploaded becomes a snapshot
      await expectReads(a, sent);
      unlinkSync(join(disk.outside, 'other'));
      expect((await a.put(pack)).status).toBe(201);
    },
  );

  onSmallDisk('F-47 a disk that others fill all the same: uploads leave nothing behind, reads go on', async () => {
    await using disk = await SmallDisk.over(mountPoint, '4m');
    const { a } = await begin({
      wrap: disk.wrap,
      env: { SAFE_BLOBS: `file:${disk.dir}/blobs`, SAFE_RESERVE_MIB: '0' },
    });
    const sent = await a.send();
    const pack = a.seal();
    const { connection, finish } = await almost(a, pack); // admitted while there was room
    await until(
      () => (readdirSync(join(disk.outside, 'blobs/tmp')).length === 1 ? true : undefined),
      () => 'no upload began',
    );
    fill(disk, 'other');
    finish();
    const refused = await connection.answer();
    expect([refused.status, JSON.parse(refused.body).code]).toEqual([503, 'storage-full']);
    expect(readdirSync(join(disk.outside, 'blobs/tmp'))).toEqual([]);
    expect((await a.used()).usedObjects).toBe(1);
    await expectReads(a, sent);
    unlinkSync(join(disk.outside, 'other'));
    expect((await a.put(pack)).status).toBe(201);
    expect((await a.append(a.snapshot(pack))).status).toBe(201);
  });

  onSmallDisk('F-47 a full disk of the database: reads go on and are logged instead, writes are 503', async () => {
    await using disk = await SmallDisk.over(mountPoint, '4m');
    const { a, world } = await begin({ wrap: disk.wrap, env: { SAFE_DATABASE: `sqlite:${disk.dir}/safe.sqlite` } });
    const sent = await a.send();
    fill(disk, 'other');
    await expectReads(a, sent);
    const missed = world.server.log.split('\n').filter((line) => line.includes('no room to note an access'));
    const facts = missed.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(facts.map(({ operation }) => operation)).toEqual(['pack.read', 'record.read', 'journal.read', 'vault.read']);
    expect(facts.at(-1)).toMatchObject({ level: 40, device: a.deviceId, missed: 4 });
    const pack = a.seal();
    for (const refused of [await a.put(pack), await a.append(a.snapshot(sent.pack))])
      expect([refused.status, refused.code]).toEqual([503, 'storage-full']);
    unlinkSync(join(disk.outside, 'other'));
    expect((await a.put(pack)).status).toBe(201);
    expect((await a.append(a.snapshot(pack))).status).toBe(201);
    expect(await a.used()).toMatchObject({ usedObjects: 2 });
  });
});

/** Fills a disk to its last block, as somebody else's program would. */
function fill(disk: SmallDisk, name: string): void {
  const file = openSync(join(disk.outside, name), 'w');
  try {
    for (;;) writeSync(file, Buffer.alloc(4096));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(file);
  }
}
