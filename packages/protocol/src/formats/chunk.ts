import { plainView } from '../bytes/bytes.ts';
import { hmacSha256 } from '../crypto/derive.ts';
import { ProtocolError } from '../errors.ts';

/** What a chunk, a segment and a file belong to; nothing is deduplicated or compressed across classes (SPEC 9). */
export const CONTENT_CLASS = { module: 1, document: 2, catalog: 3 } as const;
export type ContentClass = (typeof CONTENT_CLASS)[keyof typeof CONTENT_CLASS];

/** A cut is forced at every multiple of this in a file, so that one file can be cut in parallel. */
export const PIECE_BYTES = 4 * 1024 * 1024;
/** Files up to this size are one chunk. */
export const WHOLE_FILE_BYTES = 16 * 1024;
/** Longest chunk of any class, 8·A of size class 4. */
export const MAX_CHUNK_BYTES = 512 * 1024;
export const CHUNK_ID_BYTES = 16;
export const GEAR_ENTRIES = 256;

const GIB = 1024 ** 3;
const LARGEST_SIZE_CLASS = 4;

/** Lengths in bytes and masks of one size class. */
export interface ChunkParams {
  readonly sizeClass: number;
  readonly min: number;
  readonly average: number;
  readonly max: number;
  readonly maskBelow: number;
  readonly maskFrom: number;
}

/** The `count` highest of 32 bits. */
function highBits(count: number): number {
  return (0xffffffff << (32 - count)) >>> 0;
}

const CLASSES: readonly ChunkParams[] = Array.from({ length: LARGEST_SIZE_CLASS + 1 }, (_, sizeClass) => {
  const average = 4096 * 2 ** sizeClass;
  const bits = 12 + sizeClass;
  return {
    sizeClass,
    min: average / 4,
    average,
    max: average * 8,
    maskBelow: highBits(bits + 2),
    maskFrom: highBits(bits - 2),
  };
});

/** Parameters of size class 0 to 4. */
export function paramsOfClass(sizeClass: number): ChunkParams {
  const params = CLASSES[sizeClass];
  if (!params) throw new ProtocolError('format', `size class ${sizeClass} does not exist`);
  return params;
}

/**
 * Parameters for a file of `fileSize` bytes. A file that grew past a border keeps `previousClass` until it is twice
 * past it, so that one day's growth does not cut the whole file anew (SPEC 9).
 */
export function chunkParams(fileSize: number, previousClass?: number): ChunkParams {
  const byMagnitude = fileSize <= GIB ? 0 : Math.min(LARGEST_SIZE_CLASS, Math.ceil(Math.log2(fileSize / GIB)));
  if (previousClass === undefined || previousClass === byMagnitude) return paramsOfClass(byMagnitude);
  const upper = previousClass >= LARGEST_SIZE_CLASS ? Number.POSITIVE_INFINITY : GIB * 2 ** previousClass;
  const lower = previousClass === 0 ? 0 : GIB * 2 ** (previousClass - 1);
  const near = fileSize <= upper * 2 && fileSize > lower / 2;
  return paramsOfClass(near ? previousClass : byMagnitude);
}

/**
 * Chunk lengths of `data`, which begins at a multiple of 4 MiB of its file: FastCDC with normalised chunking (Xia et
 * al., USENIX ATC 2016) over a keyed gear table. This is the reference; the agent runs the same in WebAssembly.
 *
 * @param gear 256 numbers of 32 bits, from the mandate's keys
 */
export function cutChunks(data: Uint8Array, gear: Uint32Array, params: ChunkParams): number[] {
  const lengths: number[] = [];
  for (let piece = 0; piece < data.length; piece += PIECE_BYTES) {
    const end = Math.min(piece + PIECE_BYTES, data.length);
    for (let at = piece; at < end; ) {
      const length = cutLength(data, at, end, gear, params);
      lengths.push(length);
      at += length;
    }
  }
  return lengths;
}

function cutLength(data: Uint8Array, start: number, end: number, gear: Uint32Array, params: ChunkParams): number {
  const limit = Math.min(params.max, end - start);
  const normal = Math.min(params.average, limit);
  let hash = 0;
  let at = Math.min(params.min, limit);
  while (at < normal) {
    hash = ((hash << 1) + (gear[data[start + at] as number] as number)) | 0;
    at += 1;
    if ((hash & params.maskBelow) === 0) return at;
  }
  while (at < limit) {
    hash = ((hash << 1) + (gear[data[start + at] as number] as number)) | 0;
    at += 1;
    if ((hash & params.maskFrom) === 0) return at;
  }
  return limit;
}

/** Chunk lengths of a whole file, with the rule that small files stay whole. */
export function cutFile(data: Uint8Array, gear: Uint32Array, params: ChunkParams): number[] {
  if (data.length === 0) return [];
  return data.length <= WHOLE_FILE_BYTES ? [data.length] : cutChunks(data, gear, params);
}

/** `HMAC-SHA-256(chunk-id key, class ‖ data)[0..16]`; never leaves the computer. */
export function chunkId(chunkIdKey: Uint8Array, contentClass: ContentClass, data: Uint8Array): Uint8Array {
  return plainView(hmacSha256(chunkIdKey, Uint8Array.of(contentClass), data).subarray(0, CHUNK_ID_BYTES));
}
