import { closeSync, fdatasync, ftruncateSync, openSync, write, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import {
  asPackId,
  asPackRef,
  equal,
  idBytes,
  type MandateRef,
  type PackId,
  type PackRef,
  Reader,
  Writer,
} from '@cresus-safe/protocol';
import { diskError, readIfThere, syncFolder } from '../local/files.ts';
import { type CacheKeys, localHeader, openLocal, SEALED_OVERHEAD, sealLocal } from '../local/sealed.ts';

const writeAt = promisify(write);
const sync = promisify(fdatasync);

const HEADER = localHeader('CSIX');
const LENGTH_BYTES = 4;
const MAX_FRAME_BYTES = 64 * 1024 * 1024;
const KINDS = { pack: 1, drop: 2 } as const;

/** A pack that the server acknowledged, with its chunks: ids of 4 words each, and where each lies. */
export interface PackFrame {
  readonly kind: 'pack';
  readonly packRef: PackRef;
  readonly packId: PackId;
  /** Four words per chunk, in this machine's byte order as they came from HMAC. */
  readonly ids: Uint32Array;
  /** Segment and offset, two words per chunk. */
  readonly places: Uint32Array;
}

/** Packs that may not be relied on any more. */
export interface DropFrame {
  readonly kind: 'drop';
  readonly packIds: readonly PackId[];
}

export type IndexFrame = PackFrame | DropFrame;

/**
 * The chunk index on disk: a log of sealed frames, each appended and synced after a pack was acknowledged. So what a
 * run that was interrupted has sent is known to the next one, committed or not. A torn or damaged end is cut off: those
 * packs are sent again, nothing else happens.
 */
export class IndexLog {
  readonly #path: string;
  readonly #cacheKeys: CacheKeys;
  readonly #owner: Uint8Array;
  #file: number | undefined;
  #length: number;
  #tail: Promise<void> = Promise.resolve();

  private constructor(path: string, cacheKeys: CacheKeys, ref: MandateRef, length: number) {
    this.#path = path;
    this.#cacheKeys = cacheKeys;
    this.#owner = idBytes(ref);
    this.#length = length;
  }

  /** Reads the log; `damaged` says that an end (or all of it) was not readable and is given up. */
  static load(
    path: string,
    cacheKeys: CacheKeys,
    ref: MandateRef,
  ): { log: IndexLog; frames: IndexFrame[]; damaged: boolean } {
    const bytes = readIfThere(path);
    const frames: IndexFrame[] = [];
    if (bytes === undefined) return { log: new IndexLog(path, cacheKeys, ref, 0), frames, damaged: false };
    const valid = equal(bytes.subarray(0, HEADER.length), HEADER)
      ? readFrames(bytes, cacheKeys, idBytes(ref), frames)
      : 0;
    return { log: new IndexLog(path, cacheKeys, ref, valid), frames, damaged: valid !== bytes.length };
  }

  /** Appends a frame; it is on the disk when the promise resolves. */
  append(frame: IndexFrame): Promise<void> {
    const next = this.#tail.then(() => this.#write(frame));
    // a failed write is its caller's error; the one after it begins anew at the last good end
    this.#tail = next.catch(() => undefined);
    return next;
  }

  async close(): Promise<void> {
    await this.#tail;
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  async #write(frame: IndexFrame): Promise<void> {
    try {
      const file = this.#open();
      const sealed = sealLocal(this.#cacheKeys, 'chunk-index', this.#owner, encodeFrame(frame));
      const bytes = new Writer(sealed.length + LENGTH_BYTES).lp32(sealed).finish();
      for (let done = 0; done < bytes.length; )
        done += (await writeAt(file, bytes, done, bytes.length - done, this.#length + done)).bytesWritten;
      await sync(file);
      this.#length += bytes.length;
    } catch (error) {
      throw diskError(error, this.#path);
    }
  }

  #open(): number {
    if (this.#file !== undefined) return this.#file;
    const isNew = this.#length === 0;
    const file = openSync(this.#path, isNew ? 'w' : 'r+', 0o600);
    this.#file = file;
    if (isNew) {
      this.#length = writeSync(file, HEADER);
      syncFolder(dirname(this.#path));
    } else ftruncateSync(file, this.#length);
    return file;
  }
}

function readFrames(bytes: Uint8Array, cacheKeys: CacheKeys, owner: Uint8Array, frames: IndexFrame[]): number {
  let valid = HEADER.length;
  try {
    const reader = new Reader(bytes, 'chunk index');
    reader.bytes(HEADER.length, 'header');
    while (reader.remaining > 0) {
      const sealed = reader.lp32('frame', MAX_FRAME_BYTES);
      frames.push(decodeFrame(openLocal(cacheKeys, 'chunk-index', owner, sealed)));
      valid = reader.offset;
    }
  } catch {
    // torn by a crash, damaged, or of another root: what was read so far stands, the caller is told
  }
  return valid;
}

function encodeFrame(frame: IndexFrame): Uint8Array {
  if (frame.kind === 'drop') {
    const writer = new Writer(64).u8(KINDS.drop).u32(frame.packIds.length);
    for (const id of frame.packIds) writer.bytes(idBytes(id));
    return writer.finish();
  }
  const count = frame.ids.length / 4;
  const writer = new Writer(64 + count * 24 + SEALED_OVERHEAD).u8(KINDS.pack);
  writer.bytes(idBytes(frame.packRef)).bytes(idBytes(frame.packId)).u32(count);
  return writer.bytes(rawBytes(frame.ids)).bytes(rawBytes(frame.places)).finish();
}

function decodeFrame(plain: Uint8Array): IndexFrame {
  const reader = new Reader(plain, 'chunk index');
  if (reader.u8('kind') === KINDS.drop) {
    const packIds = Array.from({ length: reader.u32('count') }, () => asPackId(reader.bytes(32, 'packId')));
    reader.end();
    return { kind: 'drop', packIds };
  }
  const packRef = asPackRef(reader.bytes(16, 'packRef'));
  const packId = asPackId(reader.bytes(32, 'packId'));
  const count = reader.u32('count');
  const ids = words(reader.bytes(count * 16, 'ids'));
  const places = words(reader.bytes(count * 8, 'places'));
  reader.end();
  return { kind: 'pack', packRef, packId, ids, places };
}

function rawBytes(numbers: Uint32Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** A copy, because a view of words must begin at a multiple of four. */
function words(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice().buffer);
}
