import {
  asHash,
  type CatalogNode,
  type ChunkParams,
  CONTENT_CLASS,
  type ContentClass,
  chunkParams,
  type Extent,
  type Hash,
} from '@cresus-safe/protocol';
import type { FileStat } from '../compute/jobs.ts';
import type { ModuleFile } from '../mandate/modules.ts';
import type { ScanNode } from '../mandate/scan.ts';
import { type CachedNode, type FileCache, isUnchanged } from './file-cache.ts';

const JOURNALS = ['-journal', '-wal', '-shm'];
const EMPTY_FILE = asHash('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

/** A file that is to be stored, from its scan to its node in the catalog. */
export interface FileEntry {
  readonly path: string;
  readonly isBooks: boolean;
  readonly contentClass: ContentClass;
  readonly params: ChunkParams;
  stat: FileStat;
  mtime: number;
  mode: number;
  /** Set once the content is stored, or known to be stored. */
  sha256: Hash | undefined;
  extents: Extent[];
  /** Set when it cannot be stored. */
  problem: string | undefined;
  /** Content taken from the last snapshot, without reading. */
  reused: boolean;
}

/** One node of the tree: settled, or a file. */
export type Entry = { readonly node: CatalogNode; readonly file?: undefined } | { readonly file: FileEntry };

/** The modules of a mandate by file name, and their journals: the books, which must be consistent. */
export class Books {
  readonly #modules: ReadonlySet<string>;

  constructor(modules: readonly ModuleFile[]) {
    this.#modules = new Set(modules.map(({ file }) => file));
  }

  /** Only registered files are of class module: a mailed `x.cre` must not be deduplicated with the books. */
  isModule(path: string): boolean {
    return this.#modules.has(path);
  }

  isJournal(path: string): boolean {
    return JOURNALS.some((suffix) => path.endsWith(suffix) && this.#modules.has(path.slice(0, -suffix.length)));
  }

  /** Every path that belongs to the books, whether it exists or not. */
  paths(): string[] {
    return [...this.#modules].flatMap((file) => [file, ...JOURNALS.map((suffix) => file + suffix)]);
  }
}

/** Turns what was scanned into entries; a file that did not change since the last snapshot needs no reading. */
export function toEntries(
  nodes: readonly ScanNode[],
  books: Books,
  cache: FileCache | undefined,
  knows: (extents: readonly Extent[]) => boolean,
): Entry[] {
  return nodes.map((node) => {
    if (node.type !== 'file') return { node };
    const cached = cache?.nodes.get(node.path);
    const file = fileEntry(node.path, node.stat, books, cached);
    file.mtime = node.mtime;
    file.mode = node.mode;
    if (cached?.node.type === 'file' && isUnchanged(cached, node.stat) && knows(cached.node.extents)) {
      file.sha256 = cached.node.sha256;
      file.extents = [...cached.node.extents];
      file.reused = true;
    }
    return { file };
  });
}

function fileEntry(path: string, stat: FileStat, books: Books, cached: CachedNode | undefined): FileEntry {
  const isModule = books.isModule(path);
  const previousClass = cached?.node.type === 'file' ? cached.sizeClass : undefined;
  return {
    path,
    isBooks: isModule || books.isJournal(path),
    contentClass: isModule ? CONTENT_CLASS.module : CONTENT_CLASS.document,
    params: chunkParams(stat.size, previousClass),
    stat,
    mtime: 0,
    mode: 0,
    sha256: stat.size === 0 ? EMPTY_FILE : undefined,
    extents: [],
    problem: undefined,
    reused: false,
  };
}

/** Makes a file be read (again), as it is on the disk now. */
export function resetEntry(file: FileEntry, stat: FileStat, mtime: number, mode: number): void {
  Object.assign(file, { stat, mtime, mode, extents: [], problem: undefined, reused: false });
  file.sha256 = stat.size === 0 ? EMPTY_FILE : undefined;
}

/** The node for the catalog. */
export function toNode(entry: Entry): CatalogNode {
  if (!entry.file) return entry.node;
  const { path, mtime, mode, problem, sha256, extents, stat } = entry.file;
  if (problem !== undefined) return { type: 'problem', path, mtime, mode, reason: problem };
  if (!sha256) throw new Error(`${path} was neither stored nor given up`);
  return { type: 'file', path, mtime, mode, size: stat.size, sha256, extents };
}

/** Whether two nodes of the same path say the same, wherever their bytes lie. */
export function sameNode(a: CatalogNode, b: CatalogNode | undefined): boolean {
  if (!b || a.type !== b.type || a.mtime !== b.mtime || a.mode !== b.mode) return false;
  if (a.type === 'file' && b.type === 'file') return a.size === b.size && a.sha256 === b.sha256;
  if (a.type === 'link' && b.type === 'link') return a.target === b.target;
  if (a.type === 'problem' && b.type === 'problem') return a.reason === b.reason;
  return true;
}
