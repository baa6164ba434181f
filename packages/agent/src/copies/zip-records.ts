/**
 * The records of a ZIP file (PKWARE APPNOTE 6.3.10). Numbers that do not fit 32 bits go into the ZIP64 extra field, the
 * time in UTC into Info-ZIP's `UT`; names are UTF-8 and say so.
 */

export const STORED = 0;
export const DEFLATED = 8;
export const FILE_TYPE = 0o100000;
export const FOLDER_TYPE = 0o040000;

const UTF8 = 0x0800;
const DESCRIPTOR = 0x0008;
const UNIX = 3;
const VERSION = 45;
const MAX_16 = 0xffff;
const MAX_32 = 0xffff_ffff;
const ZIP64 = 0x0001;
const TIMESTAMP = 0x5455;

/** An entry as both of its headers describe it. */
export interface ZipEntry {
  readonly name: Buffer;
  readonly method: typeof STORED | typeof DEFLATED;
  /** µs since 1970. */
  readonly mtime: number;
  /** Type and permissions as in `st_mode`. */
  readonly mode: number;
  /** Sizes and checksum follow the data, because they are known only then. */
  readonly streamed: boolean;
  /** Sizes take 64 bits; of a streamed entry this is decided before they are known. */
  readonly zip64: boolean;
  crc: number;
  compressedSize: number;
  size: number;
  offset: number;
}

/** What stands before the data of an entry. */
export function localHeader(entry: ZipEntry): Buffer {
  const { name, streamed, zip64 } = entry;
  const extra = Buffer.concat([
    zip64 ? zip64Field(streamed ? [0, 0] : [entry.size, entry.compressedSize]) : Buffer.alloc(0),
    timestamp(entry.mtime),
  ]);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x0403_4b50, 0);
  writeFacts(header, 4, entry);
  const size = (known: number): number => (zip64 ? MAX_32 : streamed ? 0 : known);
  header.writeUInt32LE(streamed ? 0 : entry.crc, 14);
  header.writeUInt32LE(size(entry.compressedSize), 18);
  header.writeUInt32LE(size(entry.size), 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, name, extra]);
}

/** What stands after the data of a streamed entry. */
export function dataDescriptor({ crc, compressedSize, size, zip64 }: ZipEntry): Buffer {
  const descriptor = Buffer.alloc(zip64 ? 24 : 16);
  descriptor.writeUInt32LE(0x0807_4b50, 0);
  descriptor.writeUInt32LE(crc, 4);
  if (zip64) {
    descriptor.writeBigUInt64LE(BigInt(compressedSize), 8);
    descriptor.writeBigUInt64LE(BigInt(size), 16);
  } else {
    descriptor.writeUInt32LE(compressedSize, 8);
    descriptor.writeUInt32LE(size, 12);
  }
  return descriptor;
}

/** The entry's record in the central directory. */
export function centralRecord(entry: ZipEntry): Buffer {
  const { name, zip64, size, compressedSize, offset } = entry;
  const bigOffset = offset >= MAX_32;
  const big = [...(zip64 ? [size, compressedSize] : []), ...(bigOffset ? [offset] : [])];
  const extra = Buffer.concat([big.length > 0 ? zip64Field(big) : Buffer.alloc(0), timestamp(entry.mtime)]);
  const record = Buffer.alloc(46);
  record.writeUInt32LE(0x0201_4b50, 0);
  record.writeUInt16LE((UNIX << 8) | VERSION, 4);
  writeFacts(record, 6, entry);
  record.writeUInt32LE(entry.crc, 16);
  record.writeUInt32LE(zip64 ? MAX_32 : compressedSize, 20);
  record.writeUInt32LE(zip64 ? MAX_32 : size, 24);
  record.writeUInt16LE(name.length, 28);
  record.writeUInt16LE(extra.length, 30);
  // the low bit 4 is MS-DOS's "folder"
  record.writeUInt32LE(((entry.mode << 16) | (entry.mode & FOLDER_TYPE ? 0x10 : 0)) >>> 0, 38);
  record.writeUInt32LE(bigOffset ? MAX_32 : offset, 42);
  return Buffer.concat([record, name, extra]);
}

/** The end of the file; in ZIP64 form where a number asks for it. */
export function directoryEnd(entries: number, start: number, length: number): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x0605_4b50, 0);
  end.writeUInt16LE(Math.min(entries, MAX_16), 8);
  end.writeUInt16LE(Math.min(entries, MAX_16), 10);
  end.writeUInt32LE(Math.min(length, MAX_32), 12);
  end.writeUInt32LE(Math.min(start, MAX_32), 16);
  if (entries < MAX_16 && start < MAX_32 && length < MAX_32) return end;
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x0606_4b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeUInt16LE((UNIX << 8) | VERSION, 12);
  record.writeUInt16LE(VERSION, 14);
  record.writeBigUInt64LE(BigInt(entries), 24);
  record.writeBigUInt64LE(BigInt(entries), 32);
  record.writeBigUInt64LE(BigInt(length), 40);
  record.writeBigUInt64LE(BigInt(start), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x0706_4b50, 0);
  locator.writeBigUInt64LE(BigInt(start + length), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([record, locator, end]);
}

/** Version needed, flags, method, DOS time and date: ten bytes that both headers share. */
function writeFacts(into: Buffer, at: number, { zip64, streamed, method, mtime }: ZipEntry): void {
  into.writeUInt16LE(zip64 ? VERSION : 20, at);
  into.writeUInt16LE(UTF8 | (streamed ? DESCRIPTOR : 0), at + 2);
  into.writeUInt16LE(method, at + 4);
  const { time, date } = dosTime(new Date(mtime / 1000));
  into.writeUInt16LE(time, at + 6);
  into.writeUInt16LE(date, at + 8);
}

/** Local time in steps of two seconds, from 1980 on. */
function dosTime(at: Date): { time: number; date: number } {
  const year = at.getFullYear();
  if (year < 1980) return { time: 0, date: (1 << 5) | 1 };
  if (year > 2107) return { time: (23 << 11) | (59 << 5) | 29, date: (127 << 9) | (12 << 5) | 31 };
  return {
    time: (at.getHours() << 11) | (at.getMinutes() << 5) | (at.getSeconds() >> 1),
    date: ((year - 1980) << 9) | ((at.getMonth() + 1) << 5) | at.getDate(),
  };
}

function zip64Field(values: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(ZIP64, 0);
  field.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, i) => {
    field.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  });
  return field;
}

/** Seconds of UTC as a signed number; a time that does not fit it is left out, the manifest has it. */
function timestamp(mtime: number): Buffer {
  const seconds = Math.floor(mtime / 1e6);
  if (seconds > 0x7fff_ffff) return Buffer.alloc(0);
  const field = Buffer.alloc(9);
  field.writeUInt16LE(TIMESTAMP, 0);
  field.writeUInt16LE(5, 2);
  field.writeUInt8(1, 4);
  field.writeInt32LE(seconds, 5);
  return field;
}
