import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** What a light look at a module file says: whether its outer form holds together, not what is in it. */
export interface ModuleLook {
  readonly format: 'sqlite' | 'zip' | 'unknown';
  readonly ok: boolean;
}

const SQLITE = Buffer.from('SQLite format 3\0', 'latin1');
const ZIP = Buffer.from('PK\x03\x04', 'latin1');
const END_OF_ZIP = Buffer.from('PK\x05\x06', 'latin1');
const END_BYTES = 22;
const MOST_COMMENT = 0xffff;

/**
 * Opens a restored module file as far as its format is known: an SQLite file has the pages that its header counts
 * (sqlite.org/fileformat2.html, 1.3), a ZIP ends with a directory that lies inside the file (APPNOTE 4.3.16). What has
 * another form is not judged.
 */
export function lookAtModule(path: string): ModuleLook {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const head = readAt(file, 0, Math.min(100, size));
    if (head.subarray(0, 16).equals(SQLITE)) return { format: 'sqlite', ok: isSqliteWhole(head, size) };
    if (head.subarray(0, 4).equals(ZIP)) return { format: 'zip', ok: isZipWhole(file, size) };
    return { format: 'unknown', ok: true };
  } finally {
    closeSync(file);
  }
}

function isSqliteWhole(head: Buffer, size: number): boolean {
  if (head.length < 100) return false;
  const stated = head.readUInt16BE(16);
  const page = stated === 1 ? 65_536 : stated;
  if (page < 512 || (page & (page - 1)) !== 0 || size % page !== 0) return false;
  // the count is only valid when it was written by the same change as the file's counter
  const isCounted = head.readUInt32BE(24) === head.readUInt32BE(92) && head.readUInt32BE(28) > 0;
  return !isCounted || head.readUInt32BE(28) * page === size;
}

function isZipWhole(file: number, size: number): boolean {
  const length = Math.min(size, END_BYTES + MOST_COMMENT);
  const tail = readAt(file, size - length, length);
  const at = tail.lastIndexOf(END_OF_ZIP);
  if (at < 0 || at + END_BYTES > tail.length) return false;
  const directory = tail.readUInt32LE(at + 12);
  const offset = tail.readUInt32LE(at + 16);
  // ZIP64 states its sizes elsewhere
  if (directory === 0xffff_ffff || offset === 0xffff_ffff) return true;
  return offset + directory <= size - length + at;
}

function readAt(file: number, from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const got = readSync(file, bytes, done, length - done, from + done);
    if (got === 0) break;
    done += got;
  }
  return bytes.subarray(0, done);
}
