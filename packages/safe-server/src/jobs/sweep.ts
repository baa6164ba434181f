import { createHash } from 'node:crypto';
import { LessThan } from 'typeorm';
import { packKey } from '../blobs/keys.ts';
import type { VaultDeps } from '../vaults/deps.ts';
import { EntryEntity, PackEntity, type PackRow } from '../vaults/entities.ts';
import { mirrorEntry } from '../vaults/mirror.ts';
import { finishPack, releasePack } from '../vaults/pack-store.ts';

/** What a sweep did. */
export interface SweepResult {
  readonly stored: number;
  readonly released: number;
  readonly mirrored: number;
}

type SweepDeps = Pick<VaultDeps, 'db' | 'blobs' | 'clock'>;

const AT_ONCE = 100;

/**
 * Settles what crashes left half done. Two sweeps side by side, or a request that ends meanwhile, do no harm: each step
 * is checked in its own unit of work, and an object is created whole or not at all.
 */
export async function sweepPending(deps: SweepDeps): Promise<SweepResult> {
  const mirrored = await mirrorLeftovers(deps);
  return { ...(await settlePacks(deps)), mirrored };
}

/** Entries that were committed but never copied to the bucket, so nobody sees them although they have a receipt. */
async function mirrorLeftovers(deps: SweepDeps): Promise<number> {
  const rows = await deps.db.read((manager) =>
    manager
      .createQueryBuilder(EntryEntity, 'e')
      .select(['e.vaultId', 'e.seq'])
      .where('NOT e.mirrored') // in the words of its index
      .getMany(),
  );
  for (const { vaultId, seq } of rows) await mirrorEntry(deps, vaultId, seq);
  return rows.length;
}

/**
 * Reservations whose time is over: a crash between writing an object and noting it leaves a pending row (F-14). If the
 * object is there and has the hash that is its name, the pack is stored; else the object goes and the bytes are given
 * back.
 */
async function settlePacks(deps: SweepDeps): Promise<{ stored: number; released: number }> {
  const result = { stored: 0, released: 0 };
  for (;;) {
    const now = deps.clock();
    const rows = await deps.db.read((manager) =>
      manager.find(PackEntity, {
        where: { state: 'pending', expiresAt: LessThan(now) },
        order: { expiresAt: 'ASC' },
        take: AT_ONCE,
      }),
    );
    for (const row of rows) result[await settle(deps, row)] += 1;
    if (rows.length < AT_ONCE) return result;
  }
}

async function settle({ db, blobs, clock }: SweepDeps, row: PackRow): Promise<'stored' | 'released'> {
  const key = packKey(row.vaultId, row.packId);
  if (await isWhole(blobs, key, row)) {
    await db.write((manager) => finishPack(manager, row, clock()));
    return 'stored';
  }
  await blobs.delete(key);
  await db.write((manager) => releasePack(manager, row));
  return 'released';
}

async function isWhole(blobs: SweepDeps['blobs'], key: string, row: PackRow): Promise<boolean> {
  const read = await blobs.get(key);
  if (read === undefined) return false;
  const hash = createHash('sha256');
  for await (const piece of read.body) hash.update(piece);
  return read.length === row.length && hash.digest('hex') === row.packId;
}
