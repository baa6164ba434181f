import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  asHash,
  asPackId,
  asPackRef,
  PACK_GRANULE_BYTES,
  packIdOf,
  type SnapshotId,
  VaultKeys,
} from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { appendSnapshot, MANDATE } from '../vault/vault-fixture.ts';
import { Desk } from './points-fixture.ts';
import { keepRoot, readRoot, tieRoot } from './root.ts';

describe('a store that the disk damages', () => {
  let desk: Desk;
  let folder: string;
  const ids: SnapshotId[] = [];

  beforeEach(async () => {
    desk = new Desk();
    folder = mkdtempSync(join(tmpdir(), 'safe-damage-'));
    ids.length = 0;
    await desk.with(async (points) => {
      for (const comment of ['session', 'watch']) {
        const body = new Uint8Array(randomBytes(PACK_GRANULE_BYTES));
        const packId = packIdOf(body);
        await points.store.putPack(packId, body);
        const packs = [{ packId, packRef: asPackRef(packId.slice(0, 32)) }];
        ids.push(await appendSnapshot(points.vault, comment, { packs }));
      }
      await points.vault.append('snapshot-forget', {
        mandateRef: points.vault.mandate(MANDATE).ref,
        subject: asHash(ids[0] as string),
      });
      ids.push(await appendSnapshot(points.vault, 'manual'));
    });
  });
  afterEach(() => {
    desk[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const file = (...parts: string[]): string => join(desk.home.points, ...parts);

  /** Opens what is there and says that nothing is missing of it. */
  const isWhole = (): Promise<void> =>
    desk.with(async (points) => {
      expect(points.list().map(({ id }) => id)).toEqual([ids[2], ids[1]]);
      expect(points.vault.broken).toBeUndefined();
      for (const { id } of points.list()) await points.vault.record(id);
    });

  /** Damages a file in every way at some places, and gives the undamaged folder back in between. */
  async function damaged(path: string, step: number, check: () => Promise<void>): Promise<void> {
    const good = readFileSync(path);
    const kept = join(folder, 'kept');
    cpSync(desk.home.points, kept, { recursive: true });
    for (let at = 0; at < good.length; at += step) {
      for (const bytes of [good.subarray(0, at), good.map((byte, index) => (index === at ? byte ^ 0x40 : byte))]) {
        writeFileSync(path, bytes);
        await check();
        rmSync(desk.home.points, { recursive: true });
        cpSync(kept, desk.home.points, { recursive: true });
      }
    }
  }

  test.each([
    ['store', 'history.log'],
    ['vault', 'history.log'],
  ])('%s/%s cut or flipped anywhere: the other copy fills it', async (...path) => {
    await damaged(file(...path), 1103, isWhole);
    expect(new Set(desk.codes)).toEqual(new Set(['history-repaired']));
  });

  test('a torn end of the journal is cut, and the next point follows', async () => {
    for (const where of ['store', 'vault']) {
      const log = readFileSync(file(where, 'history.log'));
      writeFileSync(file(where, 'history.log'), Buffer.concat([log, log.subarray(8, 300)]));
    }
    await isWhole();
    await desk.with((points) => appendSnapshot(points.vault, 'session'));
    expect(await desk.with((points) => points.list().length)).toBe(3);
  });

  test('snapshots, share, pin and caches: any one of them may be damaged or gone', async () => {
    const files = ['store/share.bin', 'vault/pin.json', 'vault/header.bin', 'vault/share.bin'];
    for (const path of [...files, ...readdirSync(file('store/snapshots')).map((id) => `store/snapshots/${id}`)]) {
      const good = existsSync(file(path)) ? readFileSync(file(path)) : undefined;
      if (good === undefined) throw new Error(`no ${path}`);
      for (const bytes of [Buffer.alloc(0), good.subarray(0, 10), good.map((byte) => byte ^ 0x55)]) {
        writeFileSync(file(path), bytes);
        await isWhole();
      }
      rmSync(file(path));
      await isWhole();
      writeFileSync(file(path), good);
    }
  });

  test('a pack that is no pack, or that the journal of another store names, is damage and not a crash', async () => {
    const [pack] = readdirSync(file('store/packs'));
    const id = asPackId(pack as string);
    for (const bytes of [Buffer.alloc(0), randomBytes(10), randomBytes(PACK_GRANULE_BYTES + 1)]) {
      writeFileSync(file('store/packs', id), bytes);
      await desk.with(async (points) => {
        await expect(points.vault.reader().fetch(id)).rejects.toMatchObject({ kind: 'integrity' });
      });
    }
    rmSync(file('store/packs', id));
    await desk.with(async ({ store }) => {
      expect(await store.keepPacks([id])).toEqual([id]);
    });
  });

  test('both copies of the journal lost: what is there is set aside, never overwritten', async () => {
    rmSync(file('store/history.log'));
    rmSync(file('vault/history.log'));
    expect(await desk.with((points) => points.list())).toEqual([]);
    expect(desk.codes).toEqual(['points-set-aside']);
    const aside = readdirSync(desk.home.dir).find((name) => name.startsWith('points.damaged-'));
    expect(readdirSync(join(desk.home.dir, aside ?? '', 'store/packs'))).toHaveLength(2);
  });

  test('without its root the store waits; the secret key of the Safe gives it back', async () => {
    const safe = VaultKeys.create();
    expect(tieRoot(desk.home, safe)).toBe('sealed');
    expect(tieRoot(desk.home, safe)).toBe('nothing');
    rmSync(file('root.key'));
    await expect(desk.open()).rejects.toMatchObject({ kind: 'integrity', hint: 'hint.points-root-sealed' });
    expect(tieRoot(desk.home, VaultKeys.create())).toBe('nothing');
    expect(tieRoot(desk.home, safe)).toBe('recovered');
    await isWhole();
    rmSync(file('root.sealed'));
    writeFileSync(file('root.key'), 'x');
    await expect(desk.open()).rejects.toMatchObject({ kind: 'integrity', hint: 'hint.points-root' });
  });

  test('a root of another vault opens nothing', async () => {
    const kept = readRoot(desk.home);
    if (kept === undefined) throw new Error('no root');
    keepRoot(desk.home, { ...kept, root: kept.root.map((byte) => byte ^ 1) });
    await expect(desk.open()).rejects.toMatchObject({ kind: 'integrity', key: 'error.points-root' });
    keepRoot(desk.home, kept);
    await isWhole();
  });
});
