import { join } from 'node:path';
import {
  CONTENT_CLASS,
  type ContentClass,
  equal,
  idBytes,
  type MandateRef,
  type PackRef,
  Reader,
  Writer,
} from '@cresus-safe/protocol';
import { ensureFolder, readIfThere, writeDurable } from '../local/files.ts';
import { type CacheKeys, localHeader, openLocal, sealLocal } from '../local/sealed.ts';

const FOLDER = 'sheets';
const HEADER = localHeader('CSPS');
const MAX_SEGMENTS = 4096;
const MAX_CATALOG_BYTES = 2 * 1024 * 1024;

/** One segment of a pack, as it must be sealed again. */
export interface SheetSegment {
  readonly contentClass: ContentClass;
  readonly chunkLengths: readonly number[];
  /** Its bytes, of a catalog only: those are on no disk any more once the next snapshot was made. */
  readonly plain: Uint8Array | undefined;
}

/**
 * What this computer must know to seal a pack again should the server lose it: which chunks lie where. Their content is
 * in the files. A cache like any other: without it a lost pack stays lost, nothing else happens.
 */
export interface PackSheet {
  readonly segments: readonly SheetSegment[];
  /** Four words per chunk, in the order of the segments. */
  readonly ids: Uint32Array;
}

/** Keeps the sheet of a pack that the server acknowledged. */
export function keepSheet(
  dir: string,
  cacheKeys: CacheKeys,
  ref: MandateRef,
  packRef: PackRef,
  sheet: PackSheet,
): void {
  const folder = join(dir, FOLDER);
  ensureFolder(folder);
  const writer = new Writer(64 + sheet.ids.byteLength * 2).bytes(idBytes(packRef)).u32(sheet.segments.length);
  for (const { contentClass, chunkLengths, plain } of sheet.segments) {
    writer.u8(contentClass).u32(chunkLengths.length);
    for (const length of chunkLengths) writer.u32(length);
    writer.lp32(plain ?? new Uint8Array(0));
  }
  writer.bytes(new Uint8Array(sheet.ids.buffer, sheet.ids.byteOffset, sheet.ids.byteLength));
  const sealed = sealLocal(cacheKeys, 'pack-sheet', idBytes(ref), writer.finish());
  writeDurable(join(folder, packRef), new Writer(sealed.length + 8).bytes(HEADER).bytes(sealed).finish());
}

/** The sheet of a pack; undefined when there is none that can be read. */
export function loadSheet(dir: string, cacheKeys: CacheKeys, ref: MandateRef, packRef: PackRef): PackSheet | undefined {
  const bytes = readIfThere(join(dir, FOLDER, packRef));
  if (bytes === undefined || !equal(bytes.subarray(0, HEADER.length), HEADER)) return undefined;
  try {
    return decode(openLocal(cacheKeys, 'pack-sheet', idBytes(ref), bytes.subarray(HEADER.length)), packRef);
  } catch {
    return undefined; // damaged, or of another root: as good as none
  }
}

function decode(plain: Uint8Array, packRef: PackRef): PackSheet {
  const reader = new Reader(plain, 'pack sheet');
  if (!equal(reader.bytes(16, 'packRef'), idBytes(packRef))) reader.fail('of another pack');
  const count = reader.u32('segments');
  if (count > MAX_SEGMENTS) reader.fail('too many segments');
  const segments: SheetSegment[] = [];
  for (let i = 0; i < count; i++) {
    const contentClass = reader.u8('class') as ContentClass;
    const chunkLengths = Array.from({ length: reader.u32('chunks') }, () => reader.u32('length'));
    const kept = reader.lp32('plain', MAX_CATALOG_BYTES);
    segments.push({ contentClass, chunkLengths, plain: contentClass === CONTENT_CLASS.catalog ? kept : undefined });
  }
  return { segments, ids: new Uint32Array(Uint8Array.from(reader.rest()).buffer) };
}

/** Segment and offset of each chunk, two words per chunk. */
export function placesOf(segments: readonly SheetSegment[]): Uint32Array {
  const places: number[] = [];
  segments.forEach(({ chunkLengths }, ordinal) => {
    let offset = 0;
    for (const length of chunkLengths) {
      places.push(ordinal, offset);
      offset += length;
    }
  });
  return Uint32Array.from(places);
}
