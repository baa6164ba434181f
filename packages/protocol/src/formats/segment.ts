import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { plainView } from '../bytes/bytes.ts';
import { freeTemporary } from '../bytes/temporary.ts';
import { open, seal, TAG_BYTES } from '../crypto/aead.ts';
import { ProtocolError } from '../errors.ts';
import type { ContentClass } from './chunk.ts';
import { checkZstdFrame } from './zstd-frame.ts';

/** A segment holds 1 to this many plain bytes. */
export const MAX_SEGMENT_BYTES = 2 * 1024 * 1024;
export const COMPRESSION = { none: 0, zstd: 1 } as const;
export type Compression = (typeof COMPRESSION)[keyof typeof COMPRESSION];

/** What a pack's index says of one segment. */
export interface SegmentEntry {
  readonly contentClass: ContentClass;
  readonly compression: Compression;
  readonly sealedLength: number;
  readonly plainLength: number;
  readonly chunkLengths: ArrayLike<number>;
}

const ZSTD = {
  params: {
    [constants.ZSTD_c_compressionLevel]: 3,
    [constants.ZSTD_c_checksumFlag]: 1,
    [constants.ZSTD_c_contentSizeFlag]: 1,
    // never ZSTD_c_nbWorkers: Node then returns empty output without an error
  },
};

/**
 * Room in which zlib's result does not fill its first buffer: it takes a second one as soon as the first is full, which
 * then lies about until some garbage collection, 50 MB of them in each worker of a first backup.
 */
function roomFor(length: number): number {
  // ZSTD_compressBound of what has at most MAX_SEGMENT_BYTES, and some
  return length + (length >>> 8) + 1024;
}

/** One zstd frame of `plain`, or undefined where that would not be smaller (SPEC 10.3). */
export function compressSegment(plain: Uint8Array): Uint8Array | undefined {
  const frame = zstdCompressSync(plain, { ...ZSTD, chunkSize: roomFor(plain.length), pledgedSrcSize: plain.length });
  if (frame.length < plain.length) return plainView(frame);
  freeTemporary(frame);
  return undefined;
}

/** The plain bytes of a payload whose entry declares `plainLength`; throws `integrity`. */
export function expandSegment(payload: Uint8Array, compression: Compression, plainLength: number): Uint8Array {
  if (compression === COMPRESSION.none) {
    if (payload.length !== plainLength) throw damaged(`holds ${payload.length} bytes, not ${plainLength}`);
    return payload;
  }
  checkZstdFrame(payload, plainLength);
  try {
    const plain = zstdDecompressSync(payload, {
      maxOutputLength: plainLength,
      chunkSize: roomFor(Math.min(plainLength, MAX_SEGMENT_BYTES)),
    });
    // Node 22 returned truncated output without an error: the exact length is always checked
    if (plain.length !== plainLength) throw damaged(`expands to ${plain.length} bytes, not ${plainLength}`);
    return plainView(plain);
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause;
    throw damaged('does not expand to its declared length', cause);
  }
}

/** A segment ready to lie in a pack. */
export interface SealedSegment {
  readonly compression: Compression;
  readonly sealed: Uint8Array;
}

/**
 * Compresses where it helps and seals segment `ordinal` of the pack that `key` belongs to. A key and an ordinal meet
 * one plain text only: after a failure the whole pack is thrown away.
 *
 * @param into room of `plain.length + 16` bytes that does not overlap `plain`
 */
export function sealSegment(key: Uint8Array, ordinal: number, plain: Uint8Array, into?: Uint8Array): SealedSegment {
  const frame = compressSegment(plain);
  const sealed = seal(key, ordinal, frame ?? plain, into);
  if (frame) freeTemporary(frame);
  return { compression: frame ? COMPRESSION.zstd : COMPRESSION.none, sealed };
}

/**
 * The plain bytes of segment `ordinal`: tag, then declared length, then zstd, then exact length; throws `integrity`.
 * @param scratch room for the payload, used again from call to call; the result is a view of it where nothing was
 *   compressed
 */
export function openSegment(
  key: Uint8Array,
  ordinal: number,
  sealed: Uint8Array,
  entry: Pick<SegmentEntry, 'compression' | 'plainLength'>,
  scratch?: Uint8Array,
): Uint8Array {
  const payload = open(key, ordinal, sealed, `segment ${ordinal}`, scratch);
  const plain = expandSegment(payload, entry.compression, entry.plainLength);
  if (plain !== payload && !scratch) freeTemporary(payload);
  return plain;
}

/** Longest sealed form of a segment of `plainLength` bytes. */
export function sealedBound(plainLength: number): number {
  return plainLength + TAG_BYTES;
}

function damaged(defect: string, cause?: unknown): ProtocolError {
  return new ProtocolError('integrity', `segment: ${defect}`, cause === undefined ? {} : { cause });
}
