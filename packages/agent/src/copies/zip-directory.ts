import {
  type Entry,
  fromRandomAccessReaderPromise,
  getFileNameLowLevel,
  RandomAccessReader,
  type ZipFile,
} from 'yauzl';
import { AgentError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { copyDefect } from './copy-error.ts';
import { pathDefect } from './entry-path.ts';
import { DEFLATED, STORED } from './zip-records.ts';

/** An entry of the central directory that may be read: everything else was refused. */
export interface DirectoryEntry {
  /** Without the `/` at a folder's end. */
  readonly name: string;
  readonly isFolder: boolean;
  readonly method: typeof STORED | typeof DEFLATED;
  readonly crc: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly offset: number;
  /** The name's bytes, which the local header must repeat. */
  readonly rawName: Buffer;
}

const LOCAL_HEADER = 30;
const UNIX_HOSTS: ReadonlySet<number> = new Set([3, 19]);
const TYPE_MASK = 0o170000;
const ORDINARY: ReadonlySet<number> = new Set([0, 0o100000, 0o040000]);

/**
 * Reads the central directory of a ZIP file that anyone may have made. Order, compression and extra fields are free;
 * whatever could lead a path, a size or a reader astray is refused, each with its own defect (MS-32 to MS-36, MS-39).
 * @throws AgentError `integrity`
 */
export async function readDirectory(source: ByteSource): Promise<Map<string, DirectoryEntry>> {
  const zip = await openZip(source);
  const entries = new Map<string, DirectoryEntry>();
  try {
    for await (const raw of zip.eachEntry()) {
      const entry = entryOf(raw);
      const key = entry.isFolder ? `${entry.name}/` : entry.name;
      if (entries.has(key)) throw copyDefect('duplicate', { path: entry.name });
      entries.set(key, entry);
    }
  } catch (error) {
    throw error instanceof AgentError ? error : copyDefect('headers', { reason: (error as Error).message }, error);
  }
  refuseOverlaps([...entries.values()], source.size);
  return entries;
}

async function openZip(source: ByteSource): Promise<ZipFile> {
  const isZip = source.size >= 22 && (await source.read(0, 4)).readUInt32LE(0) === 0x0403_4b50;
  if (!isZip) throw copyDefect('not-a-copy');
  try {
    const options = { decodeStrings: false, autoClose: false };
    return await fromRandomAccessReaderPromise(new Reader(source), source.size, options);
  } catch (error) {
    // it begins as a ZIP file and its end is not one
    throw error instanceof AgentError ? error : copyDefect('truncated', { reason: (error as Error).message }, error);
  }
}

function entryOf(raw: Entry): DirectoryEntry {
  const fullName = nameOf(raw);
  const isFolder = fullName.endsWith('/');
  const name = isFolder ? fullName.slice(0, -1) : fullName;
  const path = name;
  if (pathDefect(name) !== undefined) throw copyDefect('path', { path });
  if (raw.isEncrypted()) throw copyDefect('entry-encrypted', { path });
  const type = UNIX_HOSTS.has(raw.versionMadeBy >> 8) ? (raw.externalFileAttributes >>> 16) & TYPE_MASK : 0;
  if (!ORDINARY.has(type)) throw copyDefect('link', { path });
  const { compressionMethod: method, compressedSize, uncompressedSize: size } = raw;
  if (method !== STORED && method !== DEFLATED) throw copyDefect('method', { path, method });
  if (isFolder && size > 0) throw copyDefect('size', { path });
  const { crc32: crc, relativeOffsetOfLocalHeader: offset, fileNameRaw: rawName } = raw;
  return { name, isFolder, method, crc, compressedSize, size, offset, rawName };
}

/** UTF-8 where the entry says so, or where Unix made it (Info-ZIP writes names as they are there); else as DOS did. */
function nameOf({ generalPurposeBitFlag: flags, fileNameRaw: raw, extraFields, versionMadeBy }: Entry): string {
  const saysUtf8 = (flags & 0x800) !== 0;
  try {
    if (saysUtf8 || UNIX_HOSTS.has(versionMadeBy >> 8))
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
  } catch (error) {
    if (saysUtf8) throw copyDefect('path', { path: raw.toString('latin1') }, error);
  }
  return getFileNameLowLevel(flags, raw, extraFields, true);
}

/** Entries that share bytes make a small file of a huge one (Fifield's bomb); honest ones lie apart. */
function refuseOverlaps(entries: readonly DirectoryEntry[], fileSize: number): void {
  let end = 0;
  for (const { name, offset, rawName, compressedSize } of entries.toSorted((a, b) => a.offset - b.offset)) {
    if (offset < end) throw copyDefect('overlap', { path: name });
    end = offset + LOCAL_HEADER + rawName.length + compressedSize;
    if (end > fileSize) throw copyDefect('truncated', { path: name });
  }
}

/** A source as yauzl wants it. */
class Reader extends RandomAccessReader {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    super();
    this.#source = source;
  }

  override read(
    into: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null) => void,
  ): void {
    this.#source.read(position, length).then(
      (piece) => {
        piece.copy(into, offset);
        done(null);
      },
      (error: unknown) => done(error as Error),
    );
  }

  override close(done: (error: Error | null) => void): void {
    done(null); // the source is closed by who opened it
  }
}
