import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startTestServer, type TestServer } from '../app.test.bed.ts';
import type { Db } from '../db/unit-of-work.ts';
import { ServerError } from '../errors.ts';
import { Audit } from './audit.ts';
import { AuditEntity } from './entity.ts';

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(() => server.close());

const rows = () => server.deps.db.read((manager) => manager.find(AuditEntity, { order: { id: 'ASC' } }));
const device = { deviceId: 'd'.repeat(32), subscriberNumber: '100001' };

describe('data access', () => {
  it('is one row per device, operation and run, in two processes too', async () => {
    const { audit, db, clock } = server.deps;
    const other = new Audit(db, clock);
    for (const log of [audit, other, audit]) {
      await log.access(device, 'pack.read', 'run-1');
      await log.access(device, 'pack.write', 'run-1');
    }
    await audit.access({ ...device, deviceId: 'e'.repeat(32) }, 'pack.read', 'run-1');
    await audit.access(device, 'pack.read', 'run-2');
    expect((await rows()).map(({ actor, operation, run }) => [actor.at(-1), operation, run])).toEqual([
      ['d', 'pack.read', 'run-1'],
      ['d', 'pack.write', 'run-1'],
      ['e', 'pack.read', 'run-1'],
      ['d', 'pack.read', 'run-2'],
    ]);
  });
  it('of an agent that names no run is folded by the hour', async () => {
    const { audit } = server.deps;
    for (const minutes of [0, 30, 30, 30]) {
      server.time.now += minutes * 60_000;
      await audit.access(device, 'pack.read', undefined);
    }
    expect(await rows()).toHaveLength(2);
  });
});

describe('F-47 a full disk', () => {
  it('F-47 does not stop a read: what is not noted stands in the log, with how many there were', async () => {
    const { audit, log } = server.deps;
    const full = new Audit(
      { write: () => Promise.reject(new ServerError('storage-full')) } as unknown as Db,
      server.deps.clock,
    );
    for (const run of ['run-1', 'run-2']) await full.readAccess(device, 'pack.read', run, log);
    const lines = server
      .logged()
      .split('\n')
      .filter((line) => line.includes('no room to note an access'));
    const { deviceId, subscriberNumber: number } = device;
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { level: 40, device: deviceId, number, operation: 'pack.read', run: 'run-1', missed: 1 },
      { level: 40, device: deviceId, number, operation: 'pack.read', run: 'run-2', missed: 2 },
    ]);
    await audit.readAccess(device, 'pack.read', 'run-1', log);
    expect(await rows()).toHaveLength(1);
  });
  it('F-47 stops what writes, and any other failure stops reads too', async () => {
    const failing = (error: Error) =>
      new Audit({ write: () => Promise.reject(error) } as unknown as Db, server.deps.clock);
    const { log } = server.deps;
    const full = failing(new ServerError('storage-full')).access(device, 'pack.write', 'run-1');
    await expect(full).rejects.toMatchObject({ code: 'storage-full' });
    const broken = failing(new Error('disk I/O error')).readAccess(device, 'pack.read', 'run-1', log);
    await expect(broken).rejects.toThrow('disk I/O error');
  });
});

describe('an action', () => {
  it('is noted with what it does or not at all', async () => {
    const { audit, db } = server.deps;
    const event = {
      actor: 'operator:anna',
      number: '1',
      operation: 'subscriber-add',
      facts: { expiresOn: '2050-12-31' },
    };
    await expect(
      db.write(async (manager) => {
        await audit.record(manager, event);
        throw new Error('rolled back');
      }),
    ).rejects.toThrow('rolled back');
    expect(await rows()).toHaveLength(0);
    await db.write((manager) => audit.record(manager, event));
    expect(await rows()).toMatchObject([{ actor: 'operator:anna', outcome: 'done', at: server.time.now, run: null }]);
  });
});
