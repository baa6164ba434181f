import {
  CONTENT_CLASS,
  type ContentClass,
  finishPack,
  MAX_SEGMENTS,
  type MandateKeys,
  PACK_HEADER_BYTES,
  type PackId,
  type PackStart,
  plainView,
  type Random,
  type SegmentEntry,
  sealedBound,
  startPack,
} from '@cresus-safe/protocol';
import { segmentAddress } from '../compute/arena.ts';
import type { Pool } from '../compute/pool.ts';
import { crashPoint } from '../local/crash.ts';
import type { PackSheet } from './pack-sheet.ts';

// A pack takes no further segment once its sealed bytes, and those under way at their longest, pass this.
const FULL_BYTES = 13 * 1024 * 1024;
// Chunks of one pack: their index entries must fit beside the segments (17 MiB at most)
const FULL_CHUNKS = 200_000;

/** A segment while chunks are copied into it. */
export interface OpenSegment {
  readonly slot: number;
  readonly ordinal: number;
  readonly contentClass: ContentClass;
  /** Where its plain bytes lie in the arena. */
  readonly address: number;
  length: number;
  readonly chunkLengths: number[];
}

/**
 * One pack being built in a slot of the arena. Segments get their number when they are opened, are sealed by workers in
 * any order, and are appended in the order of their numbers. A pack in which anything failed is thrown away.
 */
export class PackBuilder {
  readonly number: number;
  readonly start: PackStart;
  readonly ids: number[] = [];
  readonly places: number[] = [];
  /** Checksums of its chunks from when they were read. */
  readonly checks: number[] = [];
  readonly #pool: Pool;
  readonly #packKey: Uint8Array;
  readonly #entries: SegmentEntry[] = [];
  /** Plain bytes of its catalog segments, by their number. */
  readonly #catalogs = new Map<number, Uint8Array>();
  #opened = 0;
  #used = PACK_HEADER_BYTES;
  #underWay = 0;
  #slot: number | undefined;
  #appending: Promise<void> = Promise.resolve();

  constructor(
    pool: Pool,
    keys: MandateKeys,
    generation: number,
    indexPack: (start: PackStart) => number,
    random?: Random,
  ) {
    this.#pool = pool;
    this.#packKey = keys.packKey(generation);
    this.start = startPack(keys, generation, random);
    this.number = indexPack(this.start);
  }

  get isFull(): boolean {
    return (
      this.#used + this.#underWay >= FULL_BYTES || this.#opened >= MAX_SEGMENTS || this.places.length / 2 >= FULL_CHUNKS
    );
  }

  /** Opens the next segment; waits for a free slot. */
  async open(contentClass: ContentClass): Promise<OpenSegment> {
    const ordinal = this.#opened++;
    const slot = await this.#pool.segments.take();
    return { slot, ordinal, contentClass, address: segmentAddress(slot), length: 0, chunkLengths: [] };
  }

  /** Hands a segment to the workers; it is appended when it and those before it are sealed. */
  close(segment: OpenSegment): void {
    if (segment.contentClass === CONTENT_CLASS.catalog)
      this.#catalogs.set(segment.ordinal, Uint8Array.from(this.#pool.arena.bytes(segment.address, segment.length)));
    const bound = sealedBound(segment.length);
    this.#underWay += bound;
    const { slot, ordinal, length: plainLength } = segment;
    const sealing = this.#pool.run({ type: 'seal', slot, ordinal, plainLength, key: this.start.key });
    // failures surface where the pack is finished; without this they would count as unhandled before
    sealing.catch(() => undefined);
    this.#appending = this.#appending.then(async () => {
      const { compression, sealedLength } = await sealing;
      const pack = await this.#packBytes();
      this.#pool.arena.segmentSealed(slot).copy(pack, this.#used, 0, sealedLength);
      this.#used += sealedLength;
      this.#underWay -= bound;
      const { contentClass, chunkLengths } = segment;
      this.#entries.push({ contentClass, compression, sealedLength, plainLength, chunkLengths });
      this.#pool.segments.release(slot);
      crashPoint('pack-open');
    });
    this.#appending.catch(() => undefined);
  }

  /** Index, footer, name; the whole is opened once more. The slot stays taken until `release`. */
  async finish(): Promise<{ packId: PackId; body: Uint8Array }> {
    await this.#appending;
    const pack = await this.#packBytes();
    const length = finishPack(this.start, pack, this.#used, this.#entries);
    const { mandateRef } = this.start;
    const slot = this.#slot as number;
    const opening = { mandateRef, packKey: this.#packKey, checks: Uint32Array.from(this.checks) };
    const packId = await this.#pool.run({ type: 'hash', slot, length, ...opening });
    // a plain view, so that who copies it with `slice` gets a copy
    return { packId, body: plainView(pack.subarray(0, length)) };
  }

  /** What sealing this pack again takes; complete once it is finished. */
  get sheet(): PackSheet {
    const segments = this.#entries.map(({ contentClass, chunkLengths }, ordinal) => {
      return { contentClass, chunkLengths: Array.from(chunkLengths), plain: this.#catalogs.get(ordinal) };
    });
    return { segments, ids: Uint32Array.from(this.ids) };
  }

  release(): void {
    if (this.#slot !== undefined) this.#pool.packs.release(this.#slot);
    this.#slot = undefined;
  }

  async #packBytes(): Promise<Buffer> {
    if (this.#slot === undefined) {
      this.#slot = await this.#pool.packs.take();
      this.#pool.arena.pack(this.#slot).set(this.start.bytes);
    }
    return this.#pool.arena.pack(this.#slot);
  }
}
