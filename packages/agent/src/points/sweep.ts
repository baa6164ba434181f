import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asHash, type MandateRef, type PackId, packListHash, type SnapshotId } from '@cresus-safe/protocol';
import { loadFileCache } from '../backup/file-cache.ts';
import { toAgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { onDisk } from '../local/files.ts';
import { ChunkIndex, dropPacks } from '../vault/chunk-index.ts';
import type { Vault } from '../vault/vault.ts';
import { type PlannedPoint, planPoints } from './plan.ts';
import { loadSettings } from './settings.ts';
import type { Points } from './store.ts';

export interface Swept {
  readonly forgotten: readonly SnapshotId[];
  readonly packs: number;
  readonly bytes: number;
}

/** What the plan says today of every point here. */
export function plannedNow(points: Points): PlannedPoint[] {
  const { home, now } = points.options;
  return planPoints(points.list(), loadSettings(home), now());
}

/**
 * Removes what the plan lets go. Each removal is an entry of the journal first; then the packs that no living point
 * names go, and last the files of the removed points: as long as one of those is there, a sweep is due, so that a run
 * killed anywhere is finished by the next one.
 */
export async function tidyPoints(points: Points): Promise<Swept> {
  const goes = plannedNow(points).filter(({ keptAs }) => keptAs === undefined);
  for (const { point } of goes) {
    const { mandateRef } = points.vault.snapshot(point.id);
    await points.vault.append('snapshot-forget', { mandateRef, subject: asHash(point.id) });
    crashPoint('point-forgotten');
  }
  const swept = isSweepDue(points) ? await sweep(points) : { packs: 0, bytes: 0 };
  return { forgotten: goes.map(({ point }) => point.id), ...swept };
}

/** A removed point whose file is still there, or a file that no line of the journal names: something was left half done. */
function isSweepDue({ store }: Points): boolean {
  return store.listed().some((id) => !isLive(store.state.snapshots.get(id)));
}

function isLive(snapshot: { readonly forgottenAt: number | undefined } | undefined): boolean {
  return snapshot !== undefined && snapshot.forgottenAt === undefined;
}

/**
 * Removes every pack that no living point names, and what else removed points left. Where the pack list of a living
 * point cannot be read, no pack is removed at all.
 */
export async function sweep(points: Points): Promise<{ packs: number; bytes: number }> {
  const { store, vault } = points;
  const needed = await neededPacks(points);
  if (needed === undefined) return { packs: 0, bytes: 0 };
  const goes = store.packs.list().filter((id) => !needed.has(id));
  const before = store.packs.bytes;
  await unlistIfRoom(points, goes);
  crashPoint('point-unindexed');
  store.packs.remove(goes);
  store.removeSnapshots(store.listed().filter((id) => !isLive(store.state.snapshots.get(id))));
  pruneCopies(vault);
  return { packs: goes.length, bytes: before - store.packs.bytes };
}

/** The packs that living points name; undefined when one of them does not say which. */
async function neededPacks({ vault, store }: Points): Promise<Set<PackId> | undefined> {
  const needed = new Set<PackId>();
  for (const { id, step } of vault.history.snapshots()) {
    try {
      const ids = store.requestOf(id)?.packIds ?? (await vault.record(id)).packs.map(({ packId }) => packId);
      if (packListHash(ids) !== step.entry.packListHash) throw new Error('another list of packs');
      for (const packId of ids) needed.add(packId);
    } catch (error) {
      vault.warn({ code: 'points-not-swept', params: { id, reason: toAgentError(error).message } });
      return undefined;
    }
  }
  return needed;
}

/** On a full disk the index cannot be changed; a point that then relies on a pack that is gone stores it again. */
async function unlistIfRoom(points: Points, goes: readonly PackId[]): Promise<void> {
  try {
    await unlist(points, goes);
  } catch (error) {
    if (toAgentError(error).kind !== 'disk-full') throw error;
  }
}

/** Before packs go, the chunk index of their mandate must no longer lead to them. */
async function unlist({ vault, store }: Points, goes: readonly PackId[]): Promise<void> {
  const refs = indexed(vault);
  const owned = Map.groupBy(goes, (id) => refs.find((ref) => ref === store.packs.ownerOf(id)));
  for (const ref of refs) {
    const ids = [...(owned.get(ref) ?? []), ...(owned.get(undefined) ?? [])];
    if (ids.length > 0) await unlistOf(vault, ref, ids);
  }
}

/** The mandates that have a chunk index here. */
function indexed({ dir }: Vault): MandateRef[] {
  const folder = join(dir, 'mandates');
  return existsSync(folder) ? onDisk(folder, () => readdirSync(folder) as MandateRef[]) : [];
}

async function unlistOf(vault: Vault, ref: MandateRef, ids: readonly PackId[]): Promise<void> {
  const dir = vault.mandateDir(ref);
  const key = vault.keys.cacheKeys();
  const gone = new Set(ids);
  const cache = loadFileCache(dir, key, ref, () => undefined);
  // the cache of unchanged files names the packs of one point, which lives unless a run was killed before it wrote it
  if (cache?.packs.some(({ packId }) => gone.has(packId))) return dropPacks(dir, key, ref, ids);
  const index = ChunkIndex.load(dir, key, ref, () => undefined);
  try {
    await index.drop(ids);
  } finally {
    await index.close();
  }
}

/** The vault's own copies of what it sent serve a remote that loses things; those of removed points would only grow. */
function pruneCopies({ dir, history }: Vault): void {
  const keep = new Set(['1', ...history.snapshots().map(({ step }) => String(step.entry.seq))]);
  const live = new Set<string>(history.snapshots().map(({ id }) => id));
  prune(join(dir, 'requests'), (name) => !keep.has(name) && Number(name) < history.seq);
  prune(join(dir, 'records'), (name) => !live.has(name));
}

function prune(folder: string, isOld: (name: string) => boolean): void {
  onDisk(folder, () => {
    for (const name of readdirSync(folder)) if (isOld(name)) rmSync(join(folder, name), { force: true });
  });
}
