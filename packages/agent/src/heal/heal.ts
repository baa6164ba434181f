import {
  asMandateId,
  encodeReplacement,
  type MandateKeys,
  openPack,
  type PackId,
  type PackRef,
  PackSealer,
  type SnapshotId,
} from '@cresus-safe/protocol';
import { Books, toEntries } from '../backup/entry.ts';
import { loadFileCache } from '../backup/file-cache.ts';
import { BlockReader } from '../backup/read-blocks.ts';
import { Pool } from '../compute/pool.ts';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { scanMandate } from '../mandate/scan.ts';
import type { Vault } from '../vault/vault.ts';
import { type LostPack, lostPack, Refill } from './refill.ts';

/** Lost packs whose content is in memory at a time, 17 MiB each at most. */
const PACKS_AT_ONCE = 4;

export interface HealOptions {
  readonly vault: Vault;
  readonly mandate: Mandate;
  /** What the server says that it lost, of this and other mandates. */
  readonly damaged: ReadonlySet<PackId>;
  readonly signal?: AbortSignal | undefined;
}

/** What became of the snapshots of one mandate. */
export interface HealResult {
  /** Packs sealed anew. */
  readonly packs: number;
  /** Snapshots that were damaged and are whole again. */
  readonly healed: readonly SnapshotId[];
  /** Snapshots that stay damaged: what they held is on this computer no more. */
  readonly damaged: readonly SnapshotId[];
}

/**
 * Heals what the server lost of a mandate: each lost pack whose every chunk is still on this disk is sealed
 * anew with the same packRef and plain segments, stored, and put in the lost one's place by a `pack-replaced` entry, so
 * that old snapshots restore again. The rest is given up as a target of deduplication: the next snapshot is whole.
 *
 * Killed anywhere, the next send begins again: what was stored meanwhile is an unreferenced pack.
 * @throws AgentError as the vault, `interrupted`
 */
export async function healMandate(options: HealOptions): Promise<HealResult> {
  const { vault, mandate, damaged } = options;
  const keys = vault.mandate(asMandateId(mandate.mandateId));
  const touched = await damagedSnapshots(vault, keys, damaged);
  const lost = new Map([...touched.values()].flatMap((packs) => [...packs]));
  const cache = loadFileCache(vault.mandateDir(keys.ref), vault.keys.cacheKeys(), keys.ref, () => undefined);
  await vault.giveUpKnown(keys.ref, damaged, cache?.packs ?? []);
  crashPoint('heal-dropped');
  const healed = new Set<PackRef>();
  const candidates = [...lost].flatMap(([packRef, oldId]) => {
    const sheet = vault.packSheet(keys.ref, packRef);
    return sheet === undefined ? [] : [{ packRef, oldId, sheet }];
  });
  for (let at = 0; at < candidates.length; at += PACKS_AT_ONCE) {
    const packs = candidates
      .slice(at, at + PACKS_AT_ONCE)
      .map(({ packRef, oldId, sheet }) => lostPack(packRef, oldId, sheet));
    await refill(options, packs, cache);
    const whole = packs.filter(({ missing }) => missing === 0);
    for (const packRef of await replace(options, keys, whole)) healed.add(packRef);
  }
  const isWhole = (packs: ReadonlyMap<PackRef, PackId>) => [...packs.keys()].every((packRef) => healed.has(packRef));
  const snapshots = [...touched].map(([id, packs]) => ({ id, whole: isWhole(packs) }));
  return {
    packs: healed.size,
    healed: snapshots.flatMap(({ id, whole }) => (whole ? [id] : [])),
    damaged: snapshots.flatMap(({ id, whole }) => (whole ? [] : [id])),
  };
}

/** The snapshots of the mandate that name lost packs, with those packs. */
async function damagedSnapshots(
  vault: Vault,
  { ref }: MandateKeys,
  damaged: ReadonlySet<PackId>,
): Promise<Map<SnapshotId, Map<PackRef, PackId>>> {
  const touched = new Map<SnapshotId, Map<PackRef, PackId>>();
  for (const { id } of vault.everySnapshot(ref)) {
    if (vault.mayBeGone(id)) continue;
    const { packs } = await vault.record(id);
    const lost = packs.filter(({ packId }) => damaged.has(packId));
    if (lost.length > 0) touched.set(id, new Map(lost.map(({ packRef, packId }) => [packRef, packId])));
  }
  return touched;
}

/** Reads the mandate as it is on the disk and takes what the packs held. */
async function refill(
  { vault, mandate, signal }: HealOptions,
  packs: readonly LostPack[],
  cache: ReturnType<typeof loadFileCache>,
): Promise<void> {
  const pool = new Pool();
  const stop = (): void => void pool.close(interrupted());
  signal?.addEventListener('abort', stop);
  try {
    pool.useMandate(vault.mandate(asMandateId(mandate.mandateId)));
    const taken = new Refill(pool.arena, packs);
    if (taken.done) return;
    const scanned = await scanMandate(mandate.path, { signal });
    const entries = toEntries(scanned, new Books(mandate.modules), cache, () => false);
    const files = entries.flatMap(({ file }) => (file !== undefined && file.stat.size > 0 ? [file] : []));
    // a file that changes meanwhile gives fewer chunks, never wrong ones
    await new BlockReader(pool, taken, mandate.path, () => undefined).read(files);
  } catch (error) {
    throw signal?.aborted ? interrupted(error) : error;
  } finally {
    signal?.removeEventListener('abort', stop);
    await pool.close();
  }
}

function interrupted(cause?: unknown): AgentError {
  return new AgentError('interrupted', 'healing was interrupted', { cause });
}

interface Sealed {
  readonly pack: LostPack;
  readonly newId: PackId;
}

/** Stores the packs anew and appends the entry; tells which packs are whole now, by this device or another one. */
async function replace(
  { vault, signal }: HealOptions,
  keys: MandateKeys,
  packs: readonly LostPack[],
): Promise<readonly PackRef[]> {
  const sealed: Sealed[] = [];
  for (const pack of packs) {
    const { packId: newId, bytes } = seal(vault, keys, pack);
    await vault.remote.putPack(newId, bytes, signal);
    crashPoint('heal-sent');
    sealed.push({ pack, newId });
  }
  const mine = await append(vault, keys, sealed);
  crashPoint('heal-committed');
  for (const { pack, newId } of mine) await vault.learnPack(keys.ref, pack.packRef, newId, pack.sheet);
  return packs.map(({ packRef }) => packRef);
}

/** What was sealed is opened again and compared before it counts. */
function seal(
  vault: Vault,
  keys: MandateKeys,
  { packRef, sheet, plains }: LostPack,
): { packId: PackId; bytes: Uint8Array } {
  const sealer = new PackSealer(keys, vault.keys.generation, vault.random, packRef);
  for (const [i, { contentClass, chunkLengths }] of sheet.segments.entries())
    sealer.add(contentClass, plains[i] as Uint8Array, chunkLengths);
  const { packId, bytes } = sealer.finish();
  const opened = openPack(bytes, packId, keys);
  plains.forEach((plain, i) => {
    if (Buffer.compare(opened.segment(i), plain) !== 0)
      throw new AgentError('integrity', `pack ${packRef} is not what was sealed: faulty memory?`);
  });
  return { packId, bytes };
}

/** @returns what this device replaced; the others were replaced by another device in the meantime */
async function append(vault: Vault, keys: MandateKeys, sealed: readonly Sealed[]): Promise<readonly Sealed[]> {
  for (let tries = 1; ; tries += 1) {
    const open = sealed.filter(({ pack }) => vault.replacementOf(keys.ref, pack.packRef, pack.oldId) === pack.oldId);
    if (open.length === 0) return [];
    const list = open
      .map(({ pack: { packRef, oldId }, newId }) => ({ packRef, oldId, newId }))
      .toSorted((a, b) => (a.packRef < b.packRef ? -1 : 1));
    try {
      const packIds = open.map(({ newId }) => newId).toSorted();
      await vault.append('pack-replaced', { mandateRef: keys.ref, packIds, attachment: encodeReplacement(list) });
      return open;
    } catch (error) {
      const before = vault.history.seq;
      await vault.sync();
      const still = sealed.filter(({ pack }) => vault.replacementOf(keys.ref, pack.packRef, pack.oldId) === pack.oldId);
      if (tries === 3 || (still.length === open.length && vault.history.seq === before)) throw error;
    }
  }
}
