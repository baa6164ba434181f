import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig } from './config.ts';
import { writeHeartbeat } from './keyring/heartbeat.ts';
import { KeyRing } from './keyring/ring.ts';
import { createRingFile, replaceRingFile } from './keyring/ring-file.ts';
import { createLog } from './log.ts';
import { openSystem, type System } from './system.ts';

const random = (n: number) => new Uint8Array(randomBytes(n));
const log = createLog({ level: 'silent' });
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'safe-system-'));
});
afterEach(() => rm(dir, { recursive: true }));

const config = () => loadConfig({ dataDir: join(dir, 'data') }, {});
const keysFile = () => join(dir, 'data.keys.json');

async function open(create = true): Promise<System> {
  return await openSystem(await config(), { log, create });
}

async function used(): Promise<void> {
  const system = await open();
  await writeHeartbeat(system.deps);
  await system.close();
}

describe('TN-50, R-03 what does not belong together does not start', () => {
  it('an empty folder gets its key ring beside it; the next start takes it', async () => {
    const first = await open();
    expect(first.ringIsNew).toBe(true);
    await first.close();
    const second = await open();
    expect(second.ringIsNew).toBe(false);
    expect(second.deps.ring.serverId).toBe(first.deps.ring.serverId);
    await second.close();
  });
  it('a command on a mistyped folder makes nothing', async () => {
    await expect(open(false)).rejects.toMatchObject({ key: 'store.missing', exitCode: 14 });
  });
  it('stored data without its ring', async () => {
    await used();
    await rm(keysFile());
    await expect(open()).rejects.toMatchObject({ key: 'keys.missing' });
  });
  it('a bucket without ring and database', async () => {
    await used();
    await rm(keysFile());
    for (const file of ['safe.sqlite', 'safe.sqlite-wal', 'safe.sqlite-shm'])
      await rm(join(dir, 'data', file), { force: true });
    await expect(open()).rejects.toMatchObject({ key: 'keys.missing' });
  });
  it('the ring of another server', async () => {
    await used();
    await replaceRingFile(keysFile(), KeyRing.create(random, 0));
    await expect(open()).rejects.toMatchObject({ key: 'keys.other' });
  });
  it('a copy of the ring from before a key was added', async () => {
    const system = await open();
    const old = system.deps.ring;
    await writeHeartbeat({ ...system.deps, ring: old.rotated(1) });
    await system.close();
    await expect(open()).rejects.toMatchObject({ key: 'keys.cannot-open' });
    await replaceRingFile(keysFile(), old.rotated(1)); // other new keys than those that sealed
    await expect(open()).rejects.toMatchObject({ key: 'keys.cannot-open' });
  });
  it('F-35 an empty database over a bucket that is not', async () => {
    await used();
    for (const file of ['safe.sqlite', 'safe.sqlite-wal', 'safe.sqlite-shm'])
      await rm(join(dir, 'data', file), { force: true });
    await expect(open()).rejects.toMatchObject({ key: 'store.behind' });
  });
  it('a ring that `keys create` made before is taken', async () => {
    const ring = KeyRing.create(random, 0);
    await createRingFile(keysFile(), ring);
    const system = await open(false);
    expect(system.deps.ring.serverId).toBe(ring.serverId);
    await system.close();
  });
  it('moved as a whole, it starts', async () => {
    await used();
    await cp(join(dir, 'data'), join(dir, 'moved'), { recursive: true });
    await cp(keysFile(), join(dir, 'moved.keys.json'));
    const there = await loadConfig({ dataDir: join(dir, 'moved') }, {});
    const system = await openSystem(there, { log, create: false });
    await system.close();
    expect(system.ringIsNew).toBe(false);
  });
});

describe('the heartbeat', () => {
  it('is one object, the newest', async () => {
    const { deps, close } = await open();
    const keys: string[] = [];
    for (const now of [1_000_000, 2_000_000]) await writeHeartbeat({ ...deps, clock: () => now });
    for await (const key of deps.blobs.list('meta/clock/')) keys.push(key);
    expect(keys).toEqual(['meta/clock/0000002000']);
    await close();
  });
});
