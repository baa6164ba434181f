import type { ContentClass, PackId, PackRef } from '@cresus-safe/protocol';
import type { Arena } from '../compute/arena.ts';
import type { ChunkRun } from '../vault/chunk-run.ts';
import type { PackSheet } from '../vault/pack-sheet.ts';

/** A pack that the server lost, while its content is gathered from what is on the disk. */
export interface LostPack {
  readonly packRef: PackRef;
  readonly oldId: PackId;
  readonly sheet: PackSheet;
  /** Plain bytes of each segment. */
  readonly plains: Uint8Array[];
  /** Chunks not found so far. */
  missing: number;
}

interface Place {
  readonly pack: LostPack;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

/** The pack with room for its segments; those of a catalog are in the sheet already. */
export function lostPack(packRef: PackRef, oldId: PackId, sheet: PackSheet): LostPack {
  const plains = sheet.segments.map(
    ({ plain, chunkLengths }) => plain ?? new Uint8Array(chunkLengths.reduce((sum, length) => sum + length, 0)),
  );
  const missing = sheet.segments.reduce((sum, { plain, chunkLengths }) => sum + (plain ? 0 : chunkLengths.length), 0);
  return { packRef, oldId, sheet, plains, missing };
}

/**
 * Takes chunks of lost packs out of what a BlockReader reads. A chunk is known by its keyed hash, made from the bytes
 * that are copied, so nothing but what the pack held gets into it.
 */
export class Refill {
  readonly #arena: Arena;
  readonly #wanted = new Map<string, Place[]>();

  constructor(arena: Arena, packs: readonly LostPack[]) {
    this.#arena = arena;
    for (const pack of packs) this.#want(pack);
  }

  /** Whether every pack is complete. */
  get done(): boolean {
    return this.#wanted.size === 0;
  }

  #want(pack: LostPack): void {
    let chunk = 0;
    pack.sheet.segments.forEach(({ chunkLengths, plain }, segment) => {
      let offset = 0;
      for (const length of chunkLengths) {
        const key = keyOf(pack.sheet.ids, chunk * 4);
        const places = this.#wanted.get(key) ?? [];
        if (!plain) this.#wanted.set(key, [...places, { pack, segment, offset, length }]);
        offset += length;
        chunk += 1;
      }
    });
  }

  /** As `SnapshotWriter.add`, for BlockReader. */
  async add(_class: ContentClass, run: ChunkRun): Promise<void> {
    let at = run.data;
    for (const [i, length] of run.lengths.entries()) {
      const key = keyOf(run.ids, i * 4);
      for (const place of this.#wanted.get(key) ?? []) {
        if (place.length !== length) continue;
        (place.pack.plains[place.segment] as Uint8Array).set(this.#arena.bytes(at, length), place.offset);
        place.pack.missing -= 1;
      }
      this.#wanted.delete(key);
      at += length;
    }
  }
}

function keyOf(ids: Uint32Array, at: number): string {
  return `${ids[at]}.${ids[at + 1]}.${ids[at + 2]}.${ids[at + 3]}`;
}
