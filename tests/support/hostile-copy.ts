import { createHash } from 'node:crypto';
import { crc32, deflateRawSync } from 'node:zlib';

/** An entry of a ZIP file; whatever is given here stands there, true or not. */
export interface RawEntry {
  readonly name: string | Buffer;
  readonly data?: Buffer;
  readonly method?: number;
  readonly flags?: number;
  /** In the directory: `st_mode`, as Unix tools write it. */
  readonly mode?: number;
  readonly size?: number;
  readonly crc?: number;
  /** What the local header says instead. */
  readonly local?: { readonly name?: string; readonly method?: number; readonly size?: number; readonly crc?: number };
  /** The bytes as they lie in the file; the rest is made of them. */
  readonly packed?: Buffer;
  /** Lies where this other entry lies. */
  readonly at?: string;
}

/** A ZIP file byte by byte, without any of a library's scruples. */
export function rawZip(entries: readonly RawEntry[]): Buffer {
  const pieces: Buffer[] = [];
  const records: Buffer[] = [];
  const offsets = new Map<string, number>();
  let offset = 0;
  for (const entry of entries) {
    const made = madeOf(entry);
    const at = entry.at === undefined ? offset : (offsets.get(entry.at) ?? 0);
    records.push(centralRecord(made, entry, at));
    if (entry.at !== undefined) continue;
    offsets.set(String(entry.name), offset);
    const local = localHeader(made, entry);
    pieces.push(local, made.packed);
    offset += local.length + made.packed.length;
  }
  const directory = Buffer.concat(records);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(records.length, 8);
  end.writeUInt16LE(records.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...pieces, directory, end]);
}

interface Made {
  readonly name: Buffer;
  readonly packed: Buffer;
  readonly method: number;
  readonly flags: number;
  readonly size: number;
  readonly crc: number;
}

function madeOf({ name, data = Buffer.alloc(0), method = 8, flags = 0x0800, size, crc, packed }: RawEntry): Made {
  return {
    name: Buffer.from(name as string),
    packed: packed ?? (method === 8 ? deflateRawSync(data) : data),
    ...{ method, flags },
    size: size ?? data.length,
    crc: crc ?? crc32(data),
  };
}

function localHeader(made: Made, { local = {} }: RawEntry): Buffer {
  const name = local.name === undefined ? made.name : Buffer.from(local.name);
  const header = Buffer.alloc(30);
  header.write('PK\x03\x04', 'latin1');
  header.writeUInt16LE(20, 4);
  header.writeUInt16LE(made.flags, 6);
  header.writeUInt16LE(local.method ?? made.method, 8);
  header.writeUInt32LE(local.crc ?? made.crc, 14);
  header.writeUInt32LE(made.packed.length, 18);
  header.writeUInt32LE(local.size ?? made.size, 22);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, name]);
}

function centralRecord(made: Made, { mode = 0o100644 }: RawEntry, offset: number): Buffer {
  const record = Buffer.alloc(46);
  record.write('PK\x01\x02', 'latin1');
  record.writeUInt16LE((3 << 8) | 20, 4);
  record.writeUInt16LE(20, 6);
  record.writeUInt16LE(made.flags, 8);
  record.writeUInt16LE(made.method, 10);
  record.writeUInt32LE(made.crc, 16);
  record.writeUInt32LE(made.packed.length, 20);
  record.writeUInt32LE(made.size, 24);
  record.writeUInt16LE(made.name.length, 28);
  record.writeUInt32LE(mode * 0x1_0000, 38);
  record.writeUInt32LE(offset, 42);
  return Buffer.concat([record, made.name]);
}

export interface ManifestFile {
  readonly path: string;
  readonly content: string;
}

/** The manifest of an honest copy of these files; `changes` replace fields of it. */
export function manifestOf(files: readonly ManifestFile[], changes: Readonly<Record<string, unknown>> = {}): Buffer {
  const entries = files.map(({ path, content }) => ({
    type: 'file',
    path,
    size: Buffer.byteLength(content),
    mtime: 1_700_000_000_000_000,
    mode: 0o644,
    sha256: createHash('sha256').update(content).digest('hex'),
  }));
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  const manifest = {
    ...{ format: 'cresus-safe-copy', version: 1, mandate: { name: 'Dupont SA', id: '0'.repeat(32) } },
    ...{ comment: '', createdAt: 1_700_000_000_000, writtenAt: 1_700_000_000_000, agentVersion: '1.0.0' },
    ...{ modules: [], source: { kind: 'mandate', id: null }, totals: { files: entries.length, bytes } },
    ...{ entries, problems: [] },
  };
  return Buffer.from(JSON.stringify({ ...manifest, ...changes }));
}

/** An honest copy of these files, which `spoil` may make dishonest. */
export function rawCopy(
  files: readonly ManifestFile[],
  spoil: {
    readonly manifest?: Buffer;
    readonly entries?: (entries: RawEntry[]) => readonly RawEntry[];
  } = {},
): Buffer {
  const honest: RawEntry[] = [
    ...files.map(({ path, content }) => ({ name: `files/${path}`, data: Buffer.from(content) })),
    { name: 'manifest.json', data: spoil.manifest ?? manifestOf(files) },
  ];
  return rawZip(spoil.entries?.(honest) ?? honest);
}
