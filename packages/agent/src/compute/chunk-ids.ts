import { createHmac, type KeyObject } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { CHUNK_ID_BYTES, type ContentClass } from '@cresus-safe/protocol/formats';
import type { Arena } from './arena.ts';

/**
 * Writes the ids of `count` chunks, whose lengths lie at `lengths`, to `ids`. The class byte of the format is written
 * into the byte before each chunk and taken back: one call into OpenSSL per chunk instead of two, 50 ms in a first
 * backup. So this thread must own the byte before `data` as well.
 *
 * What is to be sealed also gets a checksum, written to `checks`: from here on the bytes lie in memory until they are
 * sealed, and a bit that flips there would be stored under the id of what was read (F-44). The ids themselves would do,
 * but computing them twice costs three times as much, and six times for small files.
 */
export function writeChunkIds(
  arena: Arena,
  key: KeyObject,
  contentClass: ContentClass,
  place: { data: number; lengths: Uint32Array; ids: number; checks?: number },
): void {
  const memory = new Uint8Array(arena.memory.buffer);
  if (place.checks !== undefined) arena.u32(place.checks, place.lengths.length).set(checksOf(memory, place));
  let { data: at, ids: out } = place;
  for (const length of place.lengths) {
    const before = memory[at - 1] as number;
    memory[at - 1] = contentClass;
    const id = createHmac('sha256', key)
      .update(memory.subarray(at - 1, at + length))
      .digest('latin1');
    memory[at - 1] = before;
    for (let i = 0; i < CHUNK_ID_BYTES; i++) memory[out + i] = id.charCodeAt(i);
    at += length;
    out += CHUNK_ID_BYTES;
  }
}

/** CRC-32 of each of the chunks that lie joined at `data`. */
export function checksOf(memory: Uint8Array, place: { data: number; lengths: Uint32Array }): Uint32Array {
  let at = place.data;
  return place.lengths.map((length) => {
    at += length;
    return crc32(memory.subarray(at - length, at));
  });
}
