import type { EntityManager } from 'typeorm';
import { MandateEntity } from '../vaults/entities.ts';

/**
 * When a vault last got a snapshot, and since when its most silent mandate has given no sign of life (a snapshot, or
 * "nothing changed"); both null without mandates.
 */
export async function signsOfLife(
  manager: EntityManager,
  vaultId: string | undefined,
): Promise<{ lastSnapshotAt: number | null; silentSince: number | null }> {
  const mandates = vaultId === undefined ? [] : await manager.findBy(MandateEntity, { vaultId });
  if (mandates.length === 0) return { lastSnapshotAt: null, silentSince: null };
  const signs = mandates.map((row) => Math.max(row.lastSnapshotAt, row.lastSeenAt ?? 0));
  return {
    lastSnapshotAt: mandates.reduce((latest, row) => Math.max(latest, row.lastSnapshotAt), 0),
    silentSince: signs.reduce((earliest, sign) => Math.min(earliest, sign), Number.POSITIVE_INFINITY),
  };
}
