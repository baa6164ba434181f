import type { MandateRef, PackId, PackRef } from '@cresus-safe/protocol';
import type { PackChunks } from '../compute/jobs.ts';
import type { CacheKeys } from '../local/sealed.ts';
import { ChunkIndex, type IndexWarning } from './chunk-index.ts';

/**
 * Fills the chunk index of a computer from the packs it opened whole (SPEC 10.5: every chunk id was recomputed from the
 * data here), so that its first send of a restored mandate sends only what is new.
 */
export class PackLearner {
  readonly #index: ChunkIndex;

  private constructor(index: ChunkIndex) {
    this.#index = index;
  }

  static open(dir: string, cacheKeys: CacheKeys, ref: MandateRef, warn: (warning: IndexWarning) => void): PackLearner {
    return new PackLearner(ChunkIndex.load(dir, cacheKeys, ref, warn));
  }

  knows(packRef: PackRef): boolean {
    return this.#index.packId(packRef) !== undefined;
  }

  /** Takes a pack over, durably. Chunks are by segment, in the order of the pack. */
  async learn(packRef: PackRef, packId: PackId, chunks: readonly PackChunks[]): Promise<void> {
    const pack = this.#index.addPack(packRef);
    const total = chunks.reduce((sum, { lengths }) => sum + lengths.length, 0);
    const ids = new Uint32Array(total * 4);
    const places = new Uint32Array(total * 2);
    let at = 0;
    chunks.forEach((segment, ordinal) => {
      ids.set(new Uint32Array(segment.ids.buffer, segment.ids.byteOffset, segment.lengths.length * 4), at * 4);
      let offset = 0;
      for (const length of segment.lengths) {
        this.#index.set(ids, at * 4, pack, ordinal, offset);
        places.set([ordinal, offset], at * 2);
        offset += length;
        at += 1;
      }
    });
    await this.#index.acknowledge(pack, packId, ids, places);
  }

  close(): Promise<void> {
    return this.#index.close();
  }
}
