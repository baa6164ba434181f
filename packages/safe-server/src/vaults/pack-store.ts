import { type EntityManager, In, IsNull } from 'typeorm';
import { lockVault } from '../db/locks.ts';
import { ServerError } from '../errors.ts';
import { PackEntity, type PackRow, VaultEntity } from './entities.ts';

/** Ids in one statement: SQLite takes 32,766 parameters, and short statements leave the event loop free. */
const BATCH = 500;
/** States in which a pack's bytes are there for good, or until something decides otherwise. */
const KEPT = ['stored', 'condemned'] as const;

/** What a reservation found. `existed`: nothing needs to be stored; `damaged`: its object is missing or rotten. */
export type Reservation = 'reserved' | 'taken-over' | 'existed' | 'damaged';

/**
 * Reserves a pack before its bytes come: the pending row and its bytes in the vault's count are the reservation, so
 * parallel uploads cannot together exceed the quota (TN-32).
 *
 * @throws ServerError `quota`, or `pack-gone` for an id that was used up
 */
export async function reservePack(
  manager: EntityManager,
  pack: { vaultId: string; packId: string; length: number },
  { now, expiresAt, quotaBytes }: { now: number; expiresAt: number; quotaBytes: number },
): Promise<Reservation> {
  const { vaultId, packId, length } = pack;
  await lockVault(manager, vaultId);
  const known = await manager.findOneBy(PackEntity, { vaultId, packId });
  // sealed anew under another id: this one is used up
  if (known !== null && known.replacedBy !== null) throw new ServerError('pack-gone');
  switch (known?.state) {
    case 'stored':
      return known.damagedSince === null ? 'existed' : 'damaged';
    case 'condemned':
      await manager.update(PackEntity, { vaultId, packId }, { state: 'stored', unreferencedSince: now });
      return known.damagedSince === null ? 'existed' : 'damaged';
    case 'deleting':
    case 'gone':
      throw new ServerError('pack-gone', { detail: 'This pack was removed: seal what it held anew' });
    case 'pending':
      await manager.update(PackEntity, { vaultId, packId }, { expiresAt });
      return 'taken-over';
    case undefined:
  }
  const vault = await manager.findOneByOrFail(VaultEntity, { vaultId });
  if (vault.usedBytes + length > quotaBytes)
    throw new ServerError('quota', { limit: quotaBytes, usedBytes: vault.usedBytes });
  await countPack(manager, vaultId, length);
  await insertPack(manager, { ...pack, state: 'pending', createdAt: now, expiresAt, unreferencedSince: null });
  return 'reserved';
}

/** Notes that the object is there. A reservation that is no longer there (its first holder failed) is made good. */
export async function finishPack(
  manager: EntityManager,
  pack: { vaultId: string; packId: string; length: number },
  now: number,
): Promise<void> {
  const { vaultId, packId, length } = pack;
  await lockVault(manager, vaultId);
  const known = await manager.findOneBy(PackEntity, { vaultId, packId });
  if (known === null) {
    await countPack(manager, vaultId, length);
    await insertPack(manager, { ...pack, state: 'stored', createdAt: now, expiresAt: null, unreferencedSince: now });
    return;
  }
  if (known.state === 'deleting' || known.state === 'gone') throw new ServerError('pack-gone');
  if (known.state === 'stored') return;
  await manager.update(PackEntity, { vaultId, packId }, { state: 'stored', expiresAt: null, unreferencedSince: now });
}

/** Gives a reservation back, unless its bytes arrived after all. */
export async function releasePack(
  manager: EntityManager,
  { vaultId, packId }: { vaultId: string; packId: string },
): Promise<void> {
  await lockVault(manager, vaultId);
  const pending = await manager.findOneBy(PackEntity, { vaultId, packId, state: 'pending' });
  if (pending === null) return;
  await manager.delete(PackEntity, { vaultId, packId });
  await uncountPack(manager, vaultId, pending.length);
}

/**
 * Gives an expired reservation back whose bytes never arrived whole. Where a broken object lies, the id is used up and the
 * object is to be removed: after `deleting` is committed, so that no upload can put the bytes there again.
 *
 * @returns false when it was taken over or settled meanwhile
 */
export async function giveUpPack(manager: EntityManager, row: PackRow, broken: boolean): Promise<boolean> {
  const { vaultId, packId, expiresAt } = row;
  await lockVault(manager, vaultId);
  const pending = await manager.findOneBy(PackEntity, { vaultId, packId, state: 'pending' });
  if (pending === null || pending.expiresAt !== expiresAt) return false;
  if (broken) await manager.update(PackEntity, { vaultId, packId }, { state: 'deleting', expiresAt: null });
  else await releasePack(manager, row);
  return true;
}

/** Notes that the object of a pack that was being deleted is gone, and gives its bytes back, once. */
export async function finishDeleting(manager: EntityManager, row: PackRow): Promise<void> {
  const { vaultId, packId, length } = row;
  await lockVault(manager, vaultId);
  const gone = await manager.update(PackEntity, { vaultId, packId, state: 'deleting' }, { state: 'gone' });
  if (gone.affected === 1) await uncountPack(manager, vaultId, length);
}

/** A pack that can be read. */
export async function storedPack(manager: EntityManager, vaultId: string, packId: string): Promise<PackRow | null> {
  return await manager.findOneBy(PackEntity, { vaultId, packId, state: In([...KEPT]) });
}

/** Which of these packs are not stored or known to be damaged, and how many bytes the others have. */
export async function checkStored(
  manager: EntityManager,
  vaultId: string,
  packIds: readonly string[],
): Promise<{ missing: string[]; bytes: number }> {
  const missing: string[] = [];
  let bytes = 0;
  for (const batch of batches(packIds)) {
    const rows = await manager.find(PackEntity, {
      select: { packId: true, length: true },
      where: { vaultId, packId: In(batch), state: In([...KEPT]), damagedSince: IsNull() },
    });
    const found = new Set(rows.map(({ packId }) => packId));
    missing.push(...batch.filter((packId) => !found.has(packId)));
    bytes = rows.reduce((sum, { length }) => sum + length, bytes);
  }
  return { missing, bytes };
}

/** Marks packs as used by entry `seq`; false when one of them is not stored (then nothing may be committed). */
export async function usePacks(
  manager: EntityManager,
  vaultId: string,
  packIds: readonly string[],
  seq: number,
): Promise<boolean> {
  let used = 0;
  for (const batch of batches(packIds)) {
    const result = await manager
      .createQueryBuilder()
      .update(PackEntity)
      .set({ state: 'stored', unreferencedSince: null, lastSeq: seq, firstSeq: () => `COALESCE(first_seq, ${seq})` })
      .where({ vaultId, packId: In(batch), state: In([...KEPT]), damagedSince: IsNull() })
      .execute();
    used += result.affected ?? 0;
  }
  return used === packIds.length;
}

/** Renews the grace of packs that no snapshot uses yet. */
export async function renewPacks(
  manager: EntityManager,
  vaultId: string,
  packIds: readonly string[],
  now: number,
): Promise<void> {
  await lockVault(manager, vaultId);
  for (const batch of batches(packIds)) {
    const where = { vaultId, packId: In(batch) };
    await manager.update(PackEntity, { ...where, state: 'condemned' }, { state: 'stored', unreferencedSince: now });
    await manager
      .createQueryBuilder()
      .update(PackEntity)
      .set({ unreferencedSince: now })
      .where({ ...where, state: 'stored' })
      .andWhere('unreferenced_since IS NOT NULL')
      .execute();
  }
}

async function insertPack(
  manager: EntityManager,
  row: Omit<PackRow, 'firstSeq' | 'lastSeq' | 'scrubbedAt' | 'damagedSince' | 'healingUntil' | 'replacedBy'>,
): Promise<void> {
  await manager.insert(PackEntity, { ...row, firstSeq: null, lastSeq: null });
}

async function countPack(manager: EntityManager, vaultId: string, bytes: number): Promise<void> {
  await addUse(manager, vaultId, { bytes, objects: 1 });
}

/** Takes a pack whose object is gone, or never came, out of what its vault uses. */
export async function uncountPack(manager: EntityManager, vaultId: string, bytes: number): Promise<void> {
  await addUse(manager, vaultId, { bytes: -bytes, objects: -1 });
}

async function addUse(
  manager: EntityManager,
  vaultId: string,
  { bytes, objects }: { bytes: number; objects: number },
): Promise<void> {
  await manager
    .createQueryBuilder()
    .update(VaultEntity)
    .set({ usedBytes: () => 'used_bytes + :bytes', usedObjects: () => 'used_objects + :objects' })
    .where({ vaultId })
    .setParameters({ bytes, objects })
    .execute();
}

function* batches(ids: readonly string[]): Generator<string[]> {
  for (let at = 0; at < ids.length; at += BATCH) yield ids.slice(at, at + BATCH);
}
