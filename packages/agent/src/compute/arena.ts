import { MAX_PACK_BYTES, PIECE_BYTES } from '@cresus-safe/protocol/formats';
import { type WasmMemory, wasm } from './wasm.ts';

// One shared memory for everything large, so that nothing is copied between threads. Memory that was never touched
// costs 15 µs a page (it is the bottleneck of a first backup), so slots are few and used again.

export const BLOCKS = 5;
export const SEGMENTS = 6;
export const PACKS = 3;

/** Plain bytes gathered before a segment is sealed; one chunk (512 KiB at most) always fits a fresh one. */
export const SEGMENT_BYTES = 1024 * 1024;
/** Files that one block may gather, and chunks that it may give (4 MiB / 1 KiB, and one per file). */
export const MAX_BLOCK_FILES = 1024;
export const MAX_BLOCK_CHUNKS = 8192;
/** Per file of a block: status u32, chunk count u32, SHA-256. */
export const FILE_RESULT_BYTES = 40;

const PAGE = 65_536;
// the chunk ids of a block are made in place with a class byte written before each chunk, also before the first
const BLOCK_GUARD = 64;
const SEGMENT_ROOM = SEGMENT_BYTES + 64;

const BLOCK_AT = PAGE;
const LENGTHS_AT = BLOCK_GUARD + PIECE_BYTES;
const IDS_AT = LENGTHS_AT + MAX_BLOCK_CHUNKS * 4;
const CHECKS_AT = IDS_AT + MAX_BLOCK_CHUNKS * 16;
const FILES_AT = CHECKS_AT + MAX_BLOCK_CHUNKS * 4;
const BLOCK_STRIDE = FILES_AT + MAX_BLOCK_FILES * FILE_RESULT_BYTES;
const SEGMENT_AT = BLOCK_AT + BLOCKS * BLOCK_STRIDE;
const PACK_AT = Math.ceil((SEGMENT_AT + SEGMENTS * SEGMENT_ROOM * 2) / PAGE) * PAGE;
const END = PACK_AT + PACKS * MAX_PACK_BYTES;

/** Where the parts of one block lie, as addresses in the shared memory. */
export interface BlockPlace {
  readonly data: number;
  readonly lengths: number;
  readonly ids: number;
  /** CRC-32 of each chunk, taken before anything else looked at its bytes. */
  readonly checks: number;
  readonly files: number;
}

export function blockPlace(slot: number): BlockPlace {
  const at = BLOCK_AT + slot * BLOCK_STRIDE;
  return {
    data: at + BLOCK_GUARD,
    lengths: at + LENGTHS_AT,
    ids: at + IDS_AT,
    checks: at + CHECKS_AT,
    files: at + FILES_AT,
  };
}

/** Address of the plain bytes of a segment slot. */
export function segmentAddress(slot: number): number {
  return SEGMENT_AT + slot * SEGMENT_ROOM * 2;
}

/** The memory itself; pages are real only once they are touched. */
export function createMemory(): WasmMemory {
  const pages = Math.ceil(END / PAGE);
  return new wasm.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Views over the shared memory, made anew in each thread. */
export class Arena {
  readonly memory: WasmMemory;
  readonly #all: Uint8Array;

  constructor(memory: WasmMemory) {
    this.memory = memory;
    this.#all = new Uint8Array(memory.buffer);
  }

  /** Copies within the memory without making a view; called for every new chunk. */
  move(to: number, from: number, length: number): void {
    this.#all.copyWithin(to, from, from + length);
  }

  bytes(at: number, length: number): Buffer {
    return Buffer.from(this.memory.buffer, at, length);
  }

  u32(at: number, length: number): Uint32Array {
    return new Uint32Array(this.memory.buffer, at, length);
  }

  /** Plain bytes of a segment being gathered. */
  segmentPlain(slot: number): Buffer {
    return this.bytes(segmentAddress(slot), SEGMENT_ROOM);
  }

  /** Its sealed form. */
  segmentSealed(slot: number): Buffer {
    return this.bytes(SEGMENT_AT + slot * SEGMENT_ROOM * 2 + SEGMENT_ROOM, SEGMENT_ROOM);
  }

  pack(slot: number): Buffer {
    return this.bytes(PACK_AT + slot * MAX_PACK_BYTES, MAX_PACK_BYTES);
  }

  /** Puts a mandate's gear table where the chunker reads it. */
  setGear(gear: Uint32Array): void {
    new Uint32Array(this.memory.buffer, 0, gear.length).set(gear);
  }
}
