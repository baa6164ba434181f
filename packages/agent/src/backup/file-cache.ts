import { join } from 'node:path';
import {
  asPackId,
  asPackRef,
  asSnapshotId,
  type CatalogNode,
  CatalogReader,
  concat,
  equal,
  idBytes,
  type MandateRef,
  type PackId,
  type PackRef,
  Reader,
  type SnapshotId,
  Writer,
} from '@cresus-safe/protocol';
import { type FileStat, sameStat } from '../compute/jobs.ts';
import { readIfThere, writeDurable } from '../local/files.ts';
import { type CacheKeys, localHeader, openLocal, sealLocal } from '../local/sealed.ts';
import type { ModuleFile } from '../mandate/modules.ts';

/** File in the mandate's folder of caches; vault/ removes it when packs that it names are gone. */
const NAME = 'files.cat';
const HEADER = localHeader('CSFC');
// a file modified this shortly before a scan may change again within the same timestamp
const RACY_MS = 2000;

/** A node of the last catalog; for files with what tells whether they changed. */
export interface CachedNode {
  readonly node: CatalogNode;
  readonly stat: FileStat | undefined;
  readonly sizeClass: number;
}

/** The last snapshot as sent, with the state of the disk that it was made from. */
export interface FileCache {
  readonly snapshotId: SnapshotId;
  readonly mandateName: string;
  readonly modules: readonly ModuleFile[];
  readonly packs: readonly { readonly packRef: PackRef; readonly packId: PackId }[];
  readonly nodes: ReadonlyMap<string, CachedNode>;
}

/** What a new cache is made of. */
export interface CacheContent extends Omit<FileCache, 'nodes'> {
  /** ms since 1970 when the scan began. */
  readonly scannedAt: number;
  readonly catalog: readonly Uint8Array[];
  /** Of the files of the catalog, in its order; undefined where the next run must read the file again. */
  readonly files: readonly { readonly stat: FileStat | undefined; readonly sizeClass: number }[];
}

/**
 * Loads the cache of a mandate: undefined when there is none. A damaged one is reported and counts as none: every file
 * is read again, nothing is sent twice.
 */
export function loadFileCache(
  dir: string,
  cacheKeys: CacheKeys,
  ref: MandateRef,
  warn: () => void,
): FileCache | undefined {
  const bytes = readIfThere(join(dir, NAME));
  if (bytes === undefined) return undefined;
  try {
    if (!equal(bytes.subarray(0, HEADER.length), HEADER)) throw new Error('another format');
    return decode(openLocal(cacheKeys, 'file-cache', idBytes(ref), bytes.subarray(HEADER.length)));
  } catch {
    // whatever is wrong with it, the answer is the same: do without
    warn();
    return undefined;
  }
}

/** Keeps the cache durably. */
export function saveFileCache(dir: string, cacheKeys: CacheKeys, ref: MandateRef, content: CacheContent): void {
  const sealed = sealLocal(cacheKeys, 'file-cache', idBytes(ref), encode(content));
  writeDurable(join(dir, NAME), concat(HEADER, sealed));
}

/** Whether a file of the disk is the cached one, unchanged. */
export function isUnchanged(cached: CachedNode | undefined, stat: FileStat): boolean {
  return cached?.stat !== undefined && sameStat(cached.stat, stat);
}

/** Whether a stat taken in a scan that began at `scannedAt` can prove that a file did not change (racy-clean rule). */
export function isTrusted(stat: FileStat, scannedAt: number): boolean {
  return Math.max(stat.mtimeMs, stat.ctimeMs) < scannedAt - RACY_MS;
}

const STAT_NUMBERS = 5;
const UNTRUSTED = 0x80;

function encode(content: CacheContent): Uint8Array {
  const writer = new Writer(4096).bytes(idBytes(content.snapshotId)).text16(content.mandateName, 'mandate name');
  writer.u16(content.modules.length);
  for (const { kind, file } of content.modules) writer.text16(kind, 'kind').text16(file, 'file');
  writer.u32(content.packs.length);
  for (const { packRef, packId } of content.packs) writer.bytes(idBytes(packRef)).bytes(idBytes(packId));
  const { files } = content;
  const stats = new Float64Array(files.length * STAT_NUMBERS);
  const flags = new Uint8Array(files.length);
  for (const [i, { stat, sizeClass }] of files.entries()) {
    const trusted = stat !== undefined && isTrusted(stat, content.scannedAt);
    flags[i] = sizeClass | (trusted ? 0 : UNTRUSTED);
    if (stat) stats.set([stat.dev, stat.ino, stat.size, stat.mtimeMs, stat.ctimeMs], i * STAT_NUMBERS);
  }
  writer.u32(files.length).bytes(new Uint8Array(stats.buffer)).bytes(flags);
  for (const piece of content.catalog) writer.bytes(piece);
  return writer.finish();
}

function decode(plain: Uint8Array): FileCache {
  const reader = new Reader(plain, 'file cache');
  const snapshotId = asSnapshotId(reader.bytes(32, 'snapshotId'));
  const mandateName = reader.text16('mandate name');
  const modules = Array.from({ length: reader.u16('modules') }, () => {
    return { kind: reader.text16('kind') as ModuleFile['kind'], file: reader.text16('file') };
  });
  const packs = Array.from({ length: reader.u32('packs') }, () => {
    return { packRef: asPackRef(reader.bytes(16, 'packRef')), packId: asPackId(reader.bytes(32, 'packId')) };
  });
  const count = reader.u32('files');
  const stats = new Float64Array(reader.bytes(count * STAT_NUMBERS * 8, 'stats').slice().buffer);
  const flags = reader.bytes(count, 'flags');
  const catalog = new CatalogReader();
  const nodes = new Map<string, CachedNode>();
  let file = 0;
  for (const node of catalog.push(reader.rest())) {
    if (node.type !== 'file') nodes.set(node.path, { node, stat: undefined, sizeClass: 0 });
    else nodes.set(node.path, { node, ...statAt(stats, flags, file++) });
  }
  catalog.finish();
  if (file !== count) throw new Error('the file cache does not fit its catalog');
  return { snapshotId, mandateName, modules, packs, nodes };
}

function statAt(stats: Float64Array, flags: Uint8Array, file: number): Pick<CachedNode, 'stat' | 'sizeClass'> {
  const flag = flags[file] as number;
  const sizeClass = flag & ~UNTRUSTED;
  if (flag & UNTRUSTED) return { stat: undefined, sizeClass };
  const [dev, ino, size, mtimeMs, ctimeMs] = stats.subarray(file * STAT_NUMBERS, (file + 1) * STAT_NUMBERS);
  return { stat: { dev, ino, size, mtimeMs, ctimeMs } as FileStat, sizeClass };
}
