import type { JournalRequest, ReplacedPack } from '@cresus-safe/protocol/public';
import { PACK_GRANULE_BYTES } from '@cresus-safe/protocol/public';
import type { EntityManager } from 'typeorm';
import { ServerError } from '../errors.ts';
import { EntryEntity, PackEntity, type PackRow } from './entities.ts';

/** Compressing the same bytes with a newer zstd may give a little more or less. */
const SIZE_TOLERANCE = 1 / 8;

/**
 * What a `pack-replaced` may name (SPEC 13): packs of its own mandate that are lost or rotten, each once, sealed anew in
 * about the same size. A device, stolen or not, can so never lead a snapshot away from a pack that is whole.
 *
 * @throws ServerError `conflict`
 */
export async function checkReplacement(manager: EntityManager, { entry, attached }: JournalRequest): Promise<void> {
  if (attached.type !== 'replacement') return;
  if (new Set(attached.packs.map(({ oldId }) => oldId)).size !== attached.packs.length)
    throw new ServerError('bad-entry', { detail: 'A pack is replaced twice' });
  for (const pack of attached.packs) await checkOne(manager, entry.vaultId, entry.mandateRef, pack);
}

async function checkOne(
  manager: EntityManager,
  vaultId: string,
  mandateRef: string,
  { oldId, newId }: ReplacedPack,
): Promise<void> {
  const old = await manager.findOneBy(PackEntity, { vaultId, packId: oldId });
  if (old === null || !isLost(old)) throw refusal('A pack that is not damaged is not replaced');
  if (old.replacedBy !== null) throw refusal('The pack was replaced before');
  const first = old.firstSeq && (await manager.findOneBy(EntryEntity, { vaultId, seq: old.firstSeq }));
  if (!first || first.mandateRef !== mandateRef) throw refusal('The pack is of no snapshot of this mandate');
  const next = await manager.findOneBy(PackEntity, { vaultId, packId: newId });
  if (next === null) return; // `missing-packs` says so
  const tolerance = Math.max(PACK_GRANULE_BYTES, old.length * SIZE_TOLERANCE);
  if (Math.abs(next.length - old.length) > tolerance) throw refusal('The new pack has another size');
}

function isLost({ state, damagedSince }: PackRow): boolean {
  return damagedSince !== null || state === 'deleting' || state === 'gone';
}

function refusal(detail: string): ServerError {
  return new ServerError('conflict', { detail });
}

/**
 * Notes which pack took whose place; the new one lives as long as the old one would have. In the unit of work of its
 * entry, whose move of the head is what keeps two replacements apart.
 */
export async function applyReplacement(
  manager: EntityManager,
  { entry, attached }: JournalRequest,
  time: number,
): Promise<void> {
  if (attached.type !== 'replacement') return;
  const { vaultId } = entry;
  for (const { oldId, newId } of attached.packs) {
    const old = await manager.findOneBy(PackEntity, { vaultId, packId: oldId });
    if (old === null) continue; // an entry that is healed may name what this database never knew
    const damagedSince = old.damagedSince ?? time;
    await manager.update(PackEntity, { vaultId, packId: oldId }, { damagedSince, replacedBy: newId });
    if (old.firstSeq !== null && old.firstSeq < entry.seq)
      await manager.update(PackEntity, { vaultId, packId: newId }, { firstSeq: old.firstSeq });
  }
}
