import { join } from 'node:path';
import type { MandateRef, PackId, PackRef } from '@cresus-safe/protocol';
import { ensureFolder, removeDurable } from '../local/files.ts';
import type { CacheKeys } from '../local/sealed.ts';
import { ChunkTable } from './chunk-table.ts';
import { IndexLog } from './index-log.ts';

/** A pack's two names. */
export interface PackName {
  readonly packRef: PackRef;
  readonly packId: PackId;
}

/** Name of the file with the last catalog as sent, beside the index; backup/ keeps it. */
export const FILE_CACHE = 'files.cat';
const INDEX = 'chunks.idx';

export interface IndexWarning {
  readonly code: 'index-rebuilt';
  readonly params: Readonly<Record<string, string | number>>;
}

interface Pack {
  readonly packRef: PackRef;
  packId: PackId | undefined;
  dead: boolean;
}

/**
 * Which chunks of a mandate are stored, and where. Holds only packs that this device sealed and the server acknowledged,
 * or that it opened whole (SPEC 10.5), and during a run also those under way.
 */
export class ChunkIndex {
  readonly #log: IndexLog;
  readonly #table: ChunkTable;
  readonly #packs: Pack[] = [];
  readonly #byRef = new Map<PackRef, number>();

  private constructor(log: IndexLog, expected: number) {
    this.#log = log;
    this.#table = new ChunkTable(expected);
  }

  /**
   * Loads the index of a mandate from its folder. A missing one is empty; a damaged one keeps what is readable and says
   * so: files then go to the Safe again, nothing else is lost.
   */
  static load(dir: string, cacheKeys: CacheKeys, ref: MandateRef, warn: (warning: IndexWarning) => void): ChunkIndex {
    ensureFolder(dir);
    const { log, frames, damaged } = IndexLog.load(join(dir, INDEX), cacheKeys, ref);
    if (damaged) warn({ code: 'index-rebuilt', params: { packs: frames.length } });
    const expected = frames.reduce((sum, frame) => sum + (frame.kind === 'pack' ? frame.ids.length / 4 : 0), 0);
    const index = new ChunkIndex(log, expected);
    for (const frame of frames) {
      if (frame.kind === 'drop') index.#markDead(frame.packIds);
      else {
        const pack = index.addPack(frame.packRef);
        index.#name(pack, frame.packId);
        for (let i = 0; i * 4 < frame.ids.length; i++)
          index.set(frame.ids, i * 4, pack, frame.places[i * 2] as number, frame.places[i * 2 + 1] as number);
      }
    }
    return index;
  }

  get chunks(): number {
    return this.#table.size;
  }

  /** Opens a place in the pack table for a pack being built. */
  addPack(packRef: PackRef): number {
    this.#packs.push({ packRef, packId: undefined, dead: false });
    this.#byRef.set(packRef, this.#packs.length - 1);
    return this.#packs.length - 1;
  }

  /** Looks for a chunk in packs that were not given up; `found` then says where it lies. */
  find(ids: Uint32Array, at: number): boolean {
    return this.#table.find(ids, at) && !this.#packs[this.#table.found.pack]?.dead;
  }

  get found(): { readonly pack: number; readonly segment: number; readonly offset: number } {
    return this.#table.found;
  }

  /** Makes room for so many more chunks at once. */
  reserve(more: number): void {
    this.#table.reserve(more);
  }

  set(ids: Uint32Array, at: number, pack: number, segment: number, offset: number): void {
    this.#table.set(ids, at, pack, segment, offset);
  }

  packRef(pack: number): PackRef {
    return (this.#packs[pack] as Pack).packRef;
  }

  /** Name of a stored pack that may be relied on. */
  packId(packRef: PackRef): PackId | undefined {
    const pack = this.#packs[this.#byRef.get(packRef) ?? -1];
    return pack && !pack.dead ? pack.packId : undefined;
  }

  /** Adds packs whose chunks are not known (of the last snapshot, when the index was lost): files may still name them. */
  addNames(names: Iterable<PackName>): void {
    for (const { packRef, packId } of names) if (!this.#byRef.has(packRef)) this.#name(this.addPack(packRef), packId);
  }

  /** Makes a pack durable in the index: to be called once the server acknowledged it. */
  async acknowledge(pack: number, packId: PackId, ids: Uint32Array, places: Uint32Array): Promise<void> {
    await this.#log.append({ kind: 'pack', packRef: this.packRef(pack), packId, ids, places });
    this.#name(pack, packId);
  }

  /** Gives packs up, durably; tells their packRefs. */
  async drop(packIds: readonly PackId[]): Promise<Set<PackRef>> {
    await this.#log.append({ kind: 'drop', packIds });
    return this.#markDead(packIds);
  }

  /** Those of these packs that may be relied on so far. */
  among(packIds: ReadonlySet<PackId>): PackId[] {
    return this.#packs.flatMap(({ packId, dead }) =>
      packId !== undefined && !dead && packIds.has(packId) ? [packId] : [],
    );
  }

  close(): Promise<void> {
    return this.#log.close();
  }

  #name(pack: number, packId: PackId): void {
    (this.#packs[pack] as Pack).packId = packId;
  }

  #markDead(packIds: readonly PackId[]): Set<PackRef> {
    const gone = new Set(packIds);
    const refs = new Set<PackRef>();
    for (const pack of this.#packs) {
      if (!pack.packId || !gone.has(pack.packId)) continue;
      pack.dead = true;
      refs.add(pack.packRef);
    }
    return refs;
  }
}

/**
 * Makes the next backup of a mandate store again what these packs held, because they are missing or damaged on the
 * server. The cache of unchanged files goes too: files that name such a pack must be read again.
 */
export async function dropPacks(
  dir: string,
  cacheKeys: CacheKeys,
  ref: MandateRef,
  packIds: readonly PackId[],
): Promise<void> {
  removeDurable(join(dir, FILE_CACHE));
  const index = ChunkIndex.load(dir, cacheKeys, ref, () => undefined);
  try {
    await index.drop(packIds);
  } finally {
    await index.close();
  }
}
