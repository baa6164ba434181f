import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { TAG_BYTES } from '../crypto/aead.ts';
import { ProtocolError } from '../errors.ts';
import { PACK_GRANULE_BYTES } from '../public/limits.ts';
import { CONTENT_CLASS, type ContentClass, MAX_CHUNK_BYTES } from './chunk.ts';
import { COMPRESSION, type Compression, MAX_SEGMENT_BYTES, type SegmentEntry } from './segment.ts';

const ENTRY_BYTES = 16;

/** The index plain of SPEC 10.2 without its padding. */
export function packIndex(entries: readonly SegmentEntry[]): Uint8Array {
  const writer = new Writer(entries.reduce((sum, entry) => sum + ENTRY_BYTES + 4 * entry.chunkLengths.length, 0));
  for (const entry of entries) {
    writer.u8(entry.contentClass).u8(entry.compression).zero(2).u32(entry.sealedLength).u32(entry.plainLength);
    writer.u32(entry.chunkLengths.length);
    for (let i = 0; i < entry.chunkLengths.length; i++) writer.u32(entry.chunkLengths[i] as number);
  }
  return writer.finish();
}

/** Parses an index plain with its padding; throws `format` or `integrity`, which opening a pack turns into `integrity`. */
export function openIndex(plain: Uint8Array, count: number): SegmentEntry[] {
  const reader = new Reader(plain, 'pack index');
  const entries: SegmentEntry[] = [];
  for (let ordinal = 0; ordinal < count; ordinal++) entries.push(readEntry(reader, ordinal));
  if (reader.remaining >= PACK_GRANULE_BYTES) reader.fail(`${reader.remaining} bytes of padding`);
  reader.zero(reader.remaining, 'padding');
  return entries;
}

function readEntry(reader: Reader, ordinal: number): SegmentEntry {
  const contentClass = reader.u8('class');
  const compression = reader.u8('compression');
  reader.zero(2, 'reserved bytes');
  const sealedLength = reader.u32('sealed length');
  const plainLength = reader.u32('plain length');
  const chunkCount = reader.u32('chunk count');
  if (!isContentClass(contentClass)) reader.fail(`segment ${ordinal} is of class ${contentClass}`);
  if (compression !== COMPRESSION.none && compression !== COMPRESSION.zstd)
    reader.fail(`segment ${ordinal} has compression ${compression}`);
  if (plainLength === 0 || plainLength > MAX_SEGMENT_BYTES)
    reader.fail(`segment ${ordinal} declares ${plainLength} bytes`);
  checkSealedLength(reader, ordinal, compression, sealedLength, plainLength);
  const chunkLengths = readChunkLengths(reader, ordinal, chunkCount, plainLength);
  return { contentClass, compression, sealedLength, plainLength, chunkLengths };
}

function isContentClass(value: number): value is ContentClass {
  return value === CONTENT_CLASS.module || value === CONTENT_CLASS.document || value === CONTENT_CLASS.catalog;
}

/** Compression is used only where it makes the payload smaller (SPEC 10.3). */
function checkSealedLength(
  reader: Reader,
  ordinal: number,
  compression: Compression,
  sealed: number,
  plain: number,
): void {
  const payload = sealed - TAG_BYTES;
  const fits = compression === COMPRESSION.none ? payload === plain : payload > 0 && payload < plain;
  if (!fits) reader.fail(`segment ${ordinal} has ${sealed} sealed bytes for ${plain}`);
}

function readChunkLengths(reader: Reader, ordinal: number, count: number, plainLength: number): Uint32Array {
  if (count * 4 > reader.remaining) reader.fail(`segment ${ordinal} lists ${count} chunks`);
  const lengths = new Uint32Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const length = reader.u32('chunk length');
    if (length === 0 || length > MAX_CHUNK_BYTES) throw chunkDefect(ordinal, length);
    lengths[i] = length;
    sum += length;
  }
  if (sum !== plainLength) reader.fail(`the chunks of segment ${ordinal} do not add up`);
  return lengths;
}

function chunkDefect(ordinal: number, length: number): ProtocolError {
  return new ProtocolError('integrity', `pack index: segment ${ordinal} has a chunk of ${length} bytes`);
}
