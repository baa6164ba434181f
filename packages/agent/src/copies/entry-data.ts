import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { crc32, createInflateRaw, inflateRaw, inflateRawSync } from 'node:zlib';
import { AgentError } from '../errors.ts';
import { BLOCK_BYTES, TINY_BYTES } from './blocks.ts';
import type { ByteSource } from './byte-source.ts';
import { copyDefect } from './copy-error.ts';
import type { DirectoryEntry } from './zip-directory.ts';
import { DEFLATED } from './zip-records.ts';

const LOCAL_HEADER = 30;
const MAX_32 = 0xffff_ffff;
const DESCRIPTOR = 0x0008;
const ENCRYPTED = 0x0001;
const ZIP64 = 0x0001;
const inflate = promisify(inflateRaw);

/**
 * The plain bytes of an entry. Never more than the directory declares (a zip bomb ends there), never less, and with its
 * checksum, before the last piece is given out.
 * @throws AgentError `integrity`
 */
export async function* entryData(source: ByteSource, entry: DirectoryEntry): AsyncGenerator<Buffer> {
  const start = await dataStart(source, entry);
  let size = 0;
  let crc = 0;
  for await (const piece of entry.method === DEFLATED ? inflated(source, entry, start) : raw(source, entry, start)) {
    size += piece.length;
    if (size > entry.size) throw copyDefect('bomb', { path: entry.name });
    crc = crc32(piece, crc);
    if (size === entry.size && crc !== entry.crc) throw copyDefect('hash', { path: entry.name });
    yield piece;
  }
  if (size !== entry.size || crc !== entry.crc) throw copyDefect('hash', { path: entry.name });
}

/** Reads an entry through. @returns its SHA-256 as hex */
export async function hashEntry(
  source: ByteSource,
  entry: DirectoryEntry,
  advanced: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of entryData(source, entry)) {
    if (signal?.aborted) throw new AgentError('interrupted', 'interrupted');
    hash.update(piece);
    advanced(piece.length);
  }
  return hash.digest('hex');
}

async function* raw(source: ByteSource, entry: DirectoryEntry, start: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < entry.compressedSize; at += BLOCK_BYTES)
    yield await source.read(start + at, Math.min(BLOCK_BYTES, entry.compressedSize - at));
}

function inflated(source: ByteSource, entry: DirectoryEntry, start: number): AsyncGenerator<Buffer> {
  return entry.size <= BLOCK_BYTES && entry.compressedSize <= 2 * BLOCK_BYTES
    ? inflatedWhole(source, entry, start)
    : inflatedStream(source, entry, start);
}

/** A small entry in one go: room for one byte more than declared, which only a bomb uses. */
async function* inflatedWhole(source: ByteSource, entry: DirectoryEntry, start: number): AsyncGenerator<Buffer> {
  const packed = await source.read(start, entry.compressedSize);
  const room = Math.max(64, entry.size + 1);
  try {
    const options = { chunkSize: room, maxOutputLength: room };
    const plain = room <= TINY_BYTES ? inflateRawSync(packed, options) : await inflate(packed, options);
    if (plain.length > 0) yield plain;
  } catch (error) {
    throw inflateError(error, entry);
  }
}

async function* inflatedStream(source: ByteSource, entry: DirectoryEntry, start: number): AsyncGenerator<Buffer> {
  const packed = Readable.from(raw(source, entry, start));
  const unpacked = createInflateRaw({ chunkSize: BLOCK_BYTES / 2 });
  packed.on('error', (error) => unpacked.destroy(error));
  try {
    for await (const piece of packed.pipe(unpacked)) yield piece as Buffer;
  } catch (error) {
    throw inflateError(error, entry);
  } finally {
    packed.destroy();
    unpacked.destroy();
  }
}

function inflateError(error: unknown, { name: path }: DirectoryEntry): unknown {
  if (error instanceof AgentError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ERR_BUFFER_TOO_LARGE') return copyDefect('bomb', { path });
  return code?.startsWith('Z_') ? copyDefect('hash', { path }, error) : error;
}

/** Where the data begins. The local header must say the same as the directory: tools differ in which one they believe. */
async function dataStart(source: ByteSource, entry: DirectoryEntry): Promise<number> {
  const path = entry.name;
  if (entry.offset + LOCAL_HEADER + entry.rawName.length > source.size) throw copyDefect('truncated', { path });
  const header = await source.read(entry.offset, LOCAL_HEADER + entry.rawName.length);
  const extraLength = header.readUInt16LE(28);
  const isSame =
    header.readUInt32LE(0) === 0x0403_4b50 &&
    header.readUInt16LE(26) === entry.rawName.length &&
    header.subarray(LOCAL_HEADER).equals(entry.rawName) &&
    header.readUInt16LE(8) === entry.method &&
    (header.readUInt16LE(6) & ENCRYPTED) === 0;
  if (!isSame) throw copyDefect('headers', { path });
  const start = entry.offset + header.length + extraLength;
  if (start + entry.compressedSize > source.size) throw copyDefect('truncated', { path });
  if ((header.readUInt16LE(6) & DESCRIPTOR) === 0) {
    const extra = await source.read(entry.offset + header.length, extraLength);
    if (!saysSame(header, extra, entry)) throw copyDefect('headers', { path });
  }
  return start;
}

function saysSame(header: Buffer, extra: Buffer, entry: DirectoryEntry): boolean {
  const crc = header.readUInt32LE(14);
  const wide = zip64Sizes(extra);
  const compressed = header.readUInt32LE(18);
  const size = header.readUInt32LE(22);
  // in a local header the ZIP64 field holds both sizes, the plain one first
  const [wideSize, wideCompressed] = wide ?? [size, compressed];
  return (
    crc === entry.crc &&
    (size === MAX_32 ? wideSize : size) === entry.size &&
    (compressed === MAX_32 ? wideCompressed : compressed) === entry.compressedSize
  );
}

function zip64Sizes(extra: Buffer): [number, number] | undefined {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== ZIP64 || at + 20 > extra.length || extra.readUInt16LE(at + 2) < 16) continue;
    return [Number(extra.readBigUInt64LE(at + 4)), Number(extra.readBigUInt64LE(at + 12))];
  }
  return undefined;
}
