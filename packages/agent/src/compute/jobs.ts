import type { BigIntStats } from 'node:fs';
import type {
  ChunkParams,
  Compression,
  ContentClass,
  MandateRef,
  PackId,
  PackRef,
  SegmentEntry,
} from '@cresus-safe/protocol/formats';

/** What tells that a file is the one that was scanned, and unchanged: numbers of `stat`, times in ms. */
export interface FileStat {
  readonly dev: number;
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

/** The part of a stat that tells whether a file is still the same. */
export function statOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): FileStat {
  return {
    dev: Number(dev),
    ino: Number(ino),
    size: Number(size),
    mtimeMs: Number(mtimeNs) / 1e6,
    ctimeMs: Number(ctimeNs) / 1e6,
  };
}

export function sameStat(a: FileStat, b: FileStat): boolean {
  return a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs && a.ino === b.ino && a.dev === b.dev;
}

/** A whole small file, or 4 MiB of a big one. */
export interface Piece {
  readonly path: string;
  readonly stat: FileStat;
  readonly offset: number;
  readonly length: number;
}

/** How reading a piece ended; `stat` before and after must be what the scan saw, else the file changed. */
export const PIECE_STATUS = { ok: 0, changed: 1, vanished: 2, unreadable: 3 } as const;
export type PieceStatus = (typeof PIECE_STATUS)[keyof typeof PIECE_STATUS];

/** Reads pieces into a block, cuts them, names the chunks and hashes whole small files. */
export interface BlockJob {
  readonly type: 'block';
  readonly slot: number;
  readonly contentClass: ContentClass;
  readonly params: ChunkParams;
  readonly pieces: readonly Piece[];
}

/** Compresses and seals the plain bytes of a segment slot. */
export interface SealJob {
  readonly type: 'seal';
  readonly slot: number;
  readonly ordinal: number;
  readonly plainLength: number;
  readonly key: Uint8Array;
}

export interface SealResult {
  readonly compression: Compression;
  readonly sealedLength: number;
}

/** Names a finished pack and opens it again, to the last chunk: each must be what it was when it was read. */
export interface HashJob {
  readonly type: 'hash';
  readonly slot: number;
  readonly length: number;
  readonly mandateRef: MandateRef;
  readonly packKey: Uint8Array;
  /** Of every chunk of the pack; see BlockPlace. */
  readonly checks: Uint32Array;
}

/** One run of plain bytes to be written: at `position` of an open file, or as a new file at a path. */
export interface UnpackWrite {
  readonly target: number | string;
  readonly position: number;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  /** Whether the SHA-256 of exactly these bytes is wanted. */
  readonly digest?: boolean;
  /** The file at the path was made before and gets several runs; else the path must be free. */
  readonly exists?: boolean;
}

/** Verifies a fetched pack in its slot, opens the segments that are needed once each and writes runs of them. */
export interface UnpackJob {
  readonly type: 'unpack';
  readonly slot: number;
  readonly length: number;
  readonly packId: PackId;
  readonly mandateRef: MandateRef;
  readonly packKey: Uint8Array;
  readonly writes: readonly UnpackWrite[];
  /** Also recompute the id of every chunk, so that the pack may be deduplicated against (SPEC 10.5). */
  readonly chunks: boolean;
  /**
   * Leaves out whether the bytes have the pack's name, an eighth of the work: for packs that no server sent. Their segments
   * are authentic all the same, and a file counts by its own hash.
   */
  readonly nameChecked?: boolean;
}

/** Chunks of a pack by segment: 16 bytes each, in the order of their lengths. */
export interface PackChunks {
  readonly contentClass: ContentClass;
  readonly lengths: Uint32Array;
  readonly ids: Uint8Array;
}

export interface UnpackResult {
  readonly packRef: PackRef;
  readonly segments: readonly SegmentEntry[];
  /** One per write that asked for it, in their order. */
  readonly digests: readonly string[];
  readonly chunks: readonly PackChunks[];
}

/** SHA-256 of a file on disk, read whole; lower-case hex. */
export interface HashFileJob {
  readonly type: 'hashFile';
  readonly path: string;
}

/** Gives files their times and modes and, with `sync`, makes them durable, in one opening each. */
export interface FinishJob {
  readonly type: 'finish';
  readonly sync: boolean;
  readonly files: readonly { readonly path: string; readonly mode: number /** Seconds. */; readonly mtime: number }[];
}

export type Job = BlockJob | SealJob | HashJob | UnpackJob | HashFileJob | FinishJob;

/** What each kind of job answers. */
export interface JobResults {
  block: undefined;
  seal: SealResult;
  hash: PackId;
  unpack: UnpackResult;
  hashFile: string;
  /** The file that failed, with the error's code, or nothing. */
  finish: { readonly path: string; readonly code: string } | undefined;
}

/** Sealing first: it frees the slots that reading waits for. */
export const PRIORITY: Readonly<Record<Job['type'], number>> = {
  seal: 0,
  hash: 0,
  unpack: 1,
  hashFile: 1,
  finish: 1,
  block: 2,
};
