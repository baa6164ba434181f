import { LessThan } from 'typeorm';
import { checkObject } from '../blobs/check.ts';
import { packKey } from '../blobs/keys.ts';
import type { VaultDeps } from '../vaults/deps.ts';
import { EntryEntity, PackEntity, type PackRow } from '../vaults/entities.ts';
import { mirrorEntry } from '../vaults/mirror.ts';
import { finishDeleting, finishPack, giveUpPack } from '../vaults/pack-store.ts';

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
  const settled = await settlePacks(deps);
  await removeDeleting(deps);
  return { ...settled, mirrored };
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
 * object is there and has the hash that is its name, the pack is stored; a broken one goes, and its id with it; the bytes
 * are given back.
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
    for (const row of rows) {
      const settled = await settle(deps, row);
      if (settled !== 'busy') result[settled] += 1;
    }
    if (rows.length < AT_ONCE) return result;
  }
}

async function settle({ db, blobs, clock }: SweepDeps, row: PackRow): Promise<'stored' | 'released' | 'busy'> {
  const key = packKey(row.vaultId, row.packId);
  const found = await checkObject(blobs, key, { length: row.length, sha256: row.packId });
  if (found === 'whole') {
    await db.write((manager) => finishPack(manager, row, clock()));
    return 'stored';
  }
  // an upload may have taken the reservation over meanwhile: then its object must not be touched
  const settled = await db.write((manager) => giveUpPack(manager, row, found === 'rotten'));
  return settled ? 'released' : 'busy';
}

/**
 * Removes the objects of packs that are being deleted; a server that stalls in between and wakes late removes nothing that
 * counts, since the id is used up.
 */
async function removeDeleting({ db, blobs }: SweepDeps): Promise<void> {
  const rows = await db.read((manager) => manager.find(PackEntity, { where: { state: 'deleting' }, take: AT_ONCE }));
  for (const row of rows) {
    await blobs.delete(packKey(row.vaultId, row.packId));
    await db.write((manager) => finishDeleting(manager, row));
  }
}
