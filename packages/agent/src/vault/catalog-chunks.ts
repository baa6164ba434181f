import { createHash } from 'node:crypto';
import { asHash, CONTENT_CLASS, type Extent, type Hash, PIECE_BYTES, paramsOfClass } from '@cresus-safe/protocol';
import { blockPlace } from '../compute/arena.ts';
import { writeChunkIds } from '../compute/chunk-ids.ts';
import type { Pool } from '../compute/pool.ts';
import type { ChunkRun } from './chunk-run.ts';

/** A catalog as a record names it. */
export interface WrittenCatalog {
  readonly sha256: Hash;
  readonly length: number;
  readonly extents: readonly Extent[];
}

/**
 * Cuts a catalog like a file of size class 0 (a catalog has at most 1 GiB) and hands each 4 MiB of it to `add`. It is
 * small, so this thread does it itself.
 */
export async function writeCatalog(
  pool: Pool,
  pieces: Iterable<Uint8Array>,
  add: (run: ChunkRun, extents: Extent[]) => Promise<void>,
): Promise<WrittenCatalog> {
  const slot = await pool.blocks.take();
  const place = blockPlace(slot);
  const room = pool.arena.bytes(place.data, PIECE_BYTES);
  const hash = createHash('sha256');
  const extents: Extent[] = [];
  let filled = 0;
  let length = 0;
  const flush = async (): Promise<void> => {
    const count = pool.cut(place.data, filled, paramsOfClass(0), place.lengths);
    const lengths = pool.arena.u32(place.lengths, count);
    writeChunkIds(pool.arena, pool.chunkIdKey, CONTENT_CLASS.catalog, { ...place, lengths });
    const [ids, checks] = [pool.arena.u32(place.ids, count * 4), pool.arena.u32(place.checks, count)];
    await add({ data: place.data, lengths, ids, checks }, extents);
    filled = 0;
  };
  try {
    for (let piece of pieces) {
      hash.update(piece);
      length += piece.length;
      while (piece.length > 0) {
        const taken = Math.min(piece.length, PIECE_BYTES - filled);
        room.set(piece.subarray(0, taken), filled);
        filled += taken;
        piece = piece.subarray(taken);
        if (filled === PIECE_BYTES) await flush();
      }
    }
    if (filled > 0) await flush();
  } finally {
    pool.blocks.release(slot);
  }
  return { sha256: asHash(hash.digest()), length, extents };
}
