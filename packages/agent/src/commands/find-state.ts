import { AgentError, toAgentError } from '../errors.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import type { RestoreStores } from './restore-stores.ts';
import { chooseSnapshot, snapshotsOf } from './snapshots.ts';

/** A saved state, in the vault that holds it. */
export interface Found {
  readonly kind: 'snapshot' | 'point';
  readonly vault: Vault;
  readonly snapshot: SnapshotInfo;
}

/** The state with this id (or its beginning): a point of this computer, else a snapshot. @throws AgentError `not-found` */
export async function findState(stores: RestoreStores, id: string): Promise<Found> {
  const point = await pointLike(stores, id);
  if (point) return point;
  if (!stores.isConnected || id.toLowerCase() === 'latest') throw unknown(id);
  const { vault } = await stores.safe();
  return { kind: 'snapshot', vault, snapshot: chooseSnapshot(vault.everySnapshot(), id, '') };
}

/** The newest snapshot of a mandate. @throws AgentError `not-found` */
export async function newestSnapshot(context: Context, stores: RestoreStores, name: string): Promise<Found> {
  const { vault } = await stores.safe();
  return { kind: 'snapshot', vault, snapshot: chooseSnapshot(snapshotsOf(context, vault, name), 'latest', name) };
}

async function pointLike(stores: RestoreStores, id: string): Promise<Found | undefined> {
  const points = await stores.pointsIfAny();
  if (points === undefined || !/^[0-9a-f]{4,64}$/i.test(id)) return undefined;
  const { vault } = points;
  try {
    return { kind: 'point', vault, snapshot: chooseSnapshot(vault.snapshots(), id, '') };
  } catch (error) {
    const typed = toAgentError(error);
    if (typed.kind === 'not-found') return undefined;
    throw typed;
  }
}

function unknown(id: string): AgentError {
  return new AgentError('not-found', `no snapshot ${id}`, {
    key: 'error.unknown-snapshot',
    hint: 'hint.no-snapshot',
    params: { id },
    details: { id },
  });
}
