import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { BLOCK_BYTES, compressBlock, compressWhole, LAST_BLOCK } from './blocks.ts';
import type { ByteSink } from './byte-sink.ts';
import {
  centralRecord,
  DEFLATED,
  dataDescriptor,
  directoryEnd,
  FILE_TYPE,
  FOLDER_TYPE,
  localHeader,
  STORED,
  type ZipEntry,
} from './zip-records.ts';

/** From here on an entry's compressed size might not fit 32 bits. */
const BIG = 0xf000_0000;
/** Blocks of one file that are compressed at the same time. */
const BLOCKS_AT_ONCE = 6;

export interface EntryFacts {
  /** `/` between parts. */
  readonly name: string;
  /** µs since 1970. */
  readonly mtime: number;
  /** The nine permission bits. */
  readonly mode: number;
}

/** A file of at most one block, read, hashed and compressed; writing it is left. */
export interface PreparedFile {
  readonly entry: ZipEntry;
  readonly data: Buffer;
  readonly sha256: string;
}

/**
 * Writes a ZIP file front to back into a sink. Nothing is ever written at an earlier place, so the sink may encrypt;
 * memory does not grow with the size of a file. (yazl looks through all entries for each new one: 30,000 take it 3.5 s.)
 */
export class ZipWriter {
  readonly #sink: ByteSink;
  readonly #records: Buffer[] = [];
  #offset = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  get entries(): number {
    return this.#records.length;
  }

  /** An entry for a folder. */
  async folder(facts: EntryFacts): Promise<void> {
    const mode = FOLDER_TYPE | facts.mode;
    await this.#begin(entryOf({ ...facts, name: `${facts.name}/`, mode }, STORED, { streamed: false, zip64: false }));
  }

  /** A file that was prepared. */
  async prepared({ entry, data }: PreparedFile): Promise<void> {
    await this.#begin(entry);
    await this.#put(data);
  }

  /**
   * A file in blocks of `BLOCK_BYTES`, each a buffer of its own that stays as it is.
   * @param size what the file is expected to hold
   * @returns its SHA-256 as hex
   */
  async streamed(facts: EntryFacts, size: number, blocks: AsyncIterable<Buffer>): Promise<string> {
    const entry = entryOf({ ...facts, mode: FILE_TYPE | facts.mode }, DEFLATED, { streamed: true, zip64: size >= BIG });
    await this.#begin(entry, false);
    const hash = createHash('sha256');
    const start = this.#offset;
    for await (const pieces of compressed(blocks, entry, hash)) for (const piece of pieces) await this.#put(piece);
    await this.#put(LAST_BLOCK);
    entry.compressedSize = this.#offset - start;
    await this.#put(dataDescriptor(entry));
    this.#records.push(centralRecord(entry));
    return hash.digest('hex');
  }

  /** The central directory; the sink is left open. */
  async end(): Promise<void> {
    const start = this.#offset;
    const entries = this.#records.length;
    for (const record of this.#records.splice(0)) await this.#put(record);
    await this.#put(directoryEnd(entries, start, this.#offset - start));
  }

  async #begin(entry: ZipEntry, isKnown = true): Promise<void> {
    entry.offset = this.#offset;
    await this.#put(localHeader(entry));
    if (isKnown) this.#records.push(centralRecord(entry));
  }

  async #put(bytes: Buffer): Promise<void> {
    await this.#sink.write(bytes);
    this.#offset += bytes.length;
  }
}

/** Hashes and compresses a file of at most one block. */
export async function prepareFile(facts: EntryFacts, bytes: Buffer): Promise<PreparedFile> {
  const packed = await compressWhole(bytes);
  const data = packed ?? bytes;
  const shape = { streamed: false, zip64: false };
  const entry = entryOf({ ...facts, mode: FILE_TYPE | facts.mode }, packed ? DEFLATED : STORED, shape);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { entry: { ...entry, crc: crc32(bytes), size: bytes.length, compressedSize: data.length }, data, sha256 };
}

function entryOf(
  { name, mtime, mode }: EntryFacts,
  method: ZipEntry['method'],
  shape: Pick<ZipEntry, 'streamed' | 'zip64'>,
): ZipEntry {
  const sizes = { crc: 0, compressedSize: 0, size: 0, offset: 0 };
  return { name: Buffer.from(name), method, mtime, mode, ...shape, ...sizes };
}

/** Compresses some blocks ahead; gives them in their order. */
async function* compressed(
  blocks: AsyncIterable<Buffer>,
  entry: ZipEntry,
  hash: { update(bytes: Buffer): unknown },
): AsyncGenerator<readonly Buffer[]> {
  const ahead: Promise<readonly Buffer[]>[] = [];
  for await (const block of blocks) {
    if (block.length > BLOCK_BYTES) throw new RangeError(`a block of ${block.length} bytes`);
    const made = compressBlock(block);
    made.catch(() => undefined); // awaited below, in order; an earlier failure may come first
    ahead.push(made);
    hash.update(block);
    entry.crc = crc32(block, entry.crc);
    entry.size += block.length;
    if (ahead.length >= BLOCKS_AT_ONCE) yield await (ahead.shift() as Promise<readonly Buffer[]>);
  }
  for (const made of ahead) yield await made;
}
