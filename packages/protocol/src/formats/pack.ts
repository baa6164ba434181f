import { compareBytes, concat, equal, sha256 } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { open, seal, TAG_BYTES } from '../crypto/aead.ts';
import { hkdf } from '../crypto/derive.ts';
import { label } from '../crypto/labels.ts';
import { type Random, systemRandom } from '../crypto/random.ts';
import { ProtocolError } from '../errors.ts';
import { asMandateRef, asPackId, asPackRef, idBytes, type MandateRef, type PackId, type PackRef } from '../ids.ts';
import { MAX_PACK_BYTES, PACK_GRANULE_BYTES } from '../public/limits.ts';
import type { ContentClass } from './chunk.ts';
import { openIndex, packIndex } from './pack-index.ts';
import { openSegment, type SegmentEntry, sealedBound, sealSegment } from './segment.ts';

export const PACK_HEADER_BYTES = 108;
export const PACK_FOOTER_BYTES = 32;
export const MAX_SEGMENTS = 4096;

const MAGIC = 'CSPK';
const SALTED_BYTES = 44;
const INDEX_NONCE = 2n ** 96n - 1n;
const FOOTER_NONCE = 2n ** 96n - 2n;

/** The part of a mandate's keys that packs need. */
export interface PackKeys {
  readonly ref: MandateRef;
  packKey(generation: number): Uint8Array;
}

/** What a pack's first 108 bytes say; nothing of it is authenticated until the commitment was compared. */
export interface PackHeader {
  readonly generation: number;
  readonly mandateRef: MandateRef;
  readonly packRef: PackRef;
  readonly bytes: Uint8Array;
}

/** Key and header of one sealing run. The salt lives only here and in the pack: it is never persisted on its own. */
export interface PackStart extends PackHeader {
  readonly key: Uint8Array;
}

/**
 * Draws the salt (and, unless a lost pack is healed, the packRef) of a new pack.
 * @param packRef only to heal: the plain segments must then be those of the lost pack
 */
export function startPack(
  keys: PackKeys,
  generation: number,
  random: Random = systemRandom,
  packRef?: PackRef,
): PackStart {
  const ref = packRef === undefined ? random(16) : idBytes(packRef);
  const salted = new Writer(SALTED_BYTES).magic(MAGIC).zero(3).u32(generation).bytes(idBytes(keys.ref)).fixed(ref, 16);
  const salt = random(32);
  const prefix = salted.finish();
  const { key, commitment } = deriveKey(keys.packKey(generation), salt, prefix);
  const bytes = concat(prefix, salt, commitment);
  return { generation, mandateRef: keys.ref, packRef: asPackRef(ref), bytes, key };
}

function deriveKey(
  packKey: Uint8Array,
  salt: Uint8Array,
  prefix: Uint8Array,
): { key: Uint8Array; commitment: Uint8Array } {
  const okm = hkdf(packKey, salt, concat(label('pack'), prefix), 64);
  return { key: okm.subarray(0, 32), commitment: okm.subarray(32) };
}

/** Bytes that index and footer add after `used` bytes of header and segments, padding included. */
export function packTail(used: number, entries: readonly SegmentEntry[]): number {
  const bare = used + packIndex(entries).length + TAG_BYTES + PACK_FOOTER_BYTES;
  return Math.ceil(bare / PACK_GRANULE_BYTES) * PACK_GRANULE_BYTES - used;
}

/**
 * Writes index and footer behind the sealed segments in `pack`, which holds `used` bytes so far.
 * @returns the length of the whole pack, a multiple of 256 KiB
 */
export function finishPack(start: PackStart, pack: Uint8Array, used: number, entries: readonly SegmentEntry[]): number {
  if (entries.length === 0 || entries.length > MAX_SEGMENTS)
    throw new ProtocolError('limit', `a pack of ${entries.length} segments`);
  const length = used + packTail(used, entries);
  if (length > MAX_PACK_BYTES || length > pack.length) throw new ProtocolError('limit', `a pack of ${length} bytes`);
  const indexLength = length - used - PACK_FOOTER_BYTES;
  const plain = new Uint8Array(indexLength - TAG_BYTES);
  plain.set(packIndex(entries));
  seal(start.key, INDEX_NONCE, plain, pack.subarray(used));
  const footer = new Writer(16).u32(used).u32(indexLength).u32(entries.length).zero(4).finish();
  seal(start.key, FOOTER_NONCE, footer, pack.subarray(length - PACK_FOOTER_BYTES));
  return length;
}

/** The name of a pack: the hash of all its bytes. */
export function packIdOf(pack: Uint8Array): PackId {
  return asPackId(sha256(pack));
}

/** Seals one pack in memory, segment by segment; what is not finished is thrown away, never continued. */
export class PackSealer {
  readonly #start: PackStart;
  readonly #parts: Uint8Array[];
  readonly #entries: SegmentEntry[] = [];

  constructor(keys: PackKeys, generation: number, random: Random = systemRandom, packRef?: PackRef) {
    this.#start = startPack(keys, generation, random, packRef);
    this.#parts = [this.#start.bytes];
  }

  get packRef(): PackRef {
    return this.#start.packRef;
  }

  /** Adds chunk data of one class, joined, 1 byte to 2 MiB; returns the segment's number. */
  add(contentClass: ContentClass, plain: Uint8Array, chunkLengths: readonly number[]): number {
    const ordinal = this.#entries.length;
    const room = new Uint8Array(sealedBound(plain.length));
    const { compression, sealed } = sealSegment(this.#start.key, ordinal, plain, room);
    this.#parts.push(sealed);
    const sealedLength = sealed.length;
    this.#entries.push({ contentClass, compression, sealedLength, plainLength: plain.length, chunkLengths });
    return ordinal;
  }

  finish(): { packId: PackId; packRef: PackRef; bytes: Uint8Array } {
    const used = this.#parts.reduce((sum, part) => sum + part.length, 0);
    const bytes = concat(...this.#parts, new Uint8Array(packTail(used, this.#entries)));
    finishPack(this.#start, bytes, used, this.#entries);
    return { packId: packIdOf(bytes), packRef: this.packRef, bytes };
  }
}

/** Reads the header's fields without any key; throws `integrity` or `version`. */
export function readPackHeader(pack: Uint8Array): PackHeader {
  return asIntegrity(() => {
    const reader = new Reader(pack, 'pack header');
    reader.magic(MAGIC);
    reader.zero(3, 'reserved bytes');
    const generation = reader.u32('generation');
    const mandateRef = asMandateRef(reader.bytes(16, 'mandateRef'));
    const packRef = asPackRef(reader.bytes(16, 'packRef'));
    reader.bytes(64, 'salt and commitment');
    return { generation, mandateRef, packRef, bytes: pack.subarray(0, PACK_HEADER_BYTES) };
  });
}

/** A pack whose name, lengths, commitment, footer and index are right. Segments are checked as they are opened. */
export interface OpenedPack {
  readonly packId: PackId;
  readonly packRef: PackRef;
  readonly generation: number;
  readonly segments: readonly SegmentEntry[];
  /** Opens one segment; throws `integrity`. The result is new memory or a view of `scratch`, never of the pack. */
  segment(ordinal: number, scratch?: Uint8Array): Uint8Array;
}

/**
 * Opens a pack that was fetched whole: name, lengths, commitment, footer, index, in this order (SPEC 10.4).
 * @param keys of the mandate that the pack must belong to
 * @param nameChecked true only for who just computed `packId` from these very bytes, or read them from his own disk and
 *   compares the hash of every file that he makes of them
 * @throws ProtocolError `integrity`, or `version` for a later format
 */
export function openPack(pack: Uint8Array, packId: PackId, keys: PackKeys, { nameChecked = false } = {}): OpenedPack {
  if (!nameChecked && packIdOf(pack) !== packId) throw damaged('its bytes do not have its name');
  if (pack.length === 0 || pack.length % PACK_GRANULE_BYTES !== 0 || pack.length > MAX_PACK_BYTES)
    throw damaged(`a length of ${pack.length} bytes`);
  const header = readPackHeader(pack);
  if (header.mandateRef !== keys.ref) throw damaged('it belongs to another mandate');
  const { key, commitment } = deriveKey(
    keys.packKey(header.generation),
    pack.subarray(SALTED_BYTES, SALTED_BYTES + 32),
    pack.subarray(0, SALTED_BYTES),
  );
  if (!equal(commitment, pack.subarray(SALTED_BYTES + 32, PACK_HEADER_BYTES)))
    throw damaged('its commitment does not fit the key');
  const segments = readSegments(pack, key);
  return {
    packId,
    packRef: header.packRef,
    generation: header.generation,
    segments: segments.entries,
    segment(ordinal, scratch) {
      const entry = segments.entries[ordinal];
      if (!entry) throw damaged(`there is no segment ${ordinal}`);
      const at = segments.offsets[ordinal] as number;
      return openSegment(key, ordinal, pack.subarray(at, at + entry.sealedLength), entry, scratch);
    },
  };
}

function readSegments(pack: Uint8Array, key: Uint8Array): { entries: SegmentEntry[]; offsets: number[] } {
  const footerAt = pack.length - PACK_FOOTER_BYTES;
  const footer = open(key, FOOTER_NONCE, pack.subarray(footerAt), 'pack footer');
  return asIntegrity(() => {
    const reader = new Reader(footer, 'pack footer');
    const indexAt = reader.u32('index offset');
    const indexLength = reader.u32('index length');
    const count = reader.u32('segment count');
    reader.zero(4, 'reserved bytes');
    if (indexAt < PACK_HEADER_BYTES || indexAt + indexLength !== footerAt) throw damaged('its index does not fit');
    if (count === 0 || count > MAX_SEGMENTS) throw damaged(`${count} segments`);
    const plain = open(key, INDEX_NONCE, pack.subarray(indexAt, footerAt), 'pack index');
    const entries = openIndex(plain, count);
    const offsets: number[] = [];
    let at = PACK_HEADER_BYTES;
    for (const entry of entries) {
      offsets.push(at);
      at += entry.sealedLength;
    }
    if (at !== indexAt) throw damaged('its segments do not end where the index begins');
    return { entries, offsets };
  });
}

/** Ascending order of pack ids, as pack lists want it. */
export function comparePackIds(a: PackId, b: PackId): number {
  return compareBytes(idBytes(a), idBytes(b));
}

/** Whatever is malformed inside a pack is damage: the bytes came from outside (SPEC 10.4). */
function asIntegrity<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ProtocolError && error.kind === 'format')
      throw new ProtocolError('integrity', error.message, { cause: error });
    throw error;
  }
}

function damaged(defect: string): ProtocolError {
  return new ProtocolError('integrity', `pack: ${defect}`);
}
