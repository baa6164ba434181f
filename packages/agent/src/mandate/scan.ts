import { type BigIntStats, lstatSync, readlinkSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MAX_PATH_BYTES } from '@cresus-safe/protocol';
import { type FileStat, statOf } from '../compute/jobs.ts';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { diskError } from '../local/files.ts';
import { type Listing, listNames } from './names.ts';

interface ScanCommon {
  /** Relative to the mandate's folder, `/` between parts. */
  readonly path: string;
  /** µs since 1970, never below 0. */
  readonly mtime: number;
  readonly mode: number;
}
export interface ScannedFile extends ScanCommon {
  readonly type: 'file';
  readonly stat: FileStat;
}
export interface ScannedFolder extends ScanCommon {
  readonly type: 'folder';
}
export interface ScannedLink extends ScanCommon {
  readonly type: 'link';
  readonly target: string;
}
/** What cannot be saved, with a code: `unreadable`, `special`, `invalid-name`, `path-too-long`, `changed` … */
export interface ScannedProblem extends ScanCommon {
  readonly type: 'problem';
  readonly reason: string;
}
export type ScanNode = ScannedFile | ScannedFolder | ScannedLink | ScannedProblem;

export interface ScanOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told how many nodes were found so far, some times a second. */
  readonly onProgress?: (nodes: number) => void;
  /** How a folder is listed; for tests that change the tree meanwhile. */
  readonly list?: (folder: string) => Listing;
}

const SLICE_MS = 20;
const LOOKS_PER_CHECK = 64;
const PERMISSIONS = 0o777;

/**
 * The tree of a mandate in catalog order. Links are stored, never followed. It works in slices of 20 ms of synchronous
 * calls (five times faster than promises), so that Ctrl-C and progress get their turn.
 * @throws AgentError `path-missing` when the folder is not there, `interrupted`, `permission`
 */
export async function scanMandate(root: string, options: ScanOptions = {}): Promise<ScanNode[]> {
  const stat = rootStat(root);
  const scanner = new Scanner(root, options);
  if (!(await scanner.visit('', stat)))
    throw new AgentError('path-missing', `${root} changed while it was read`, { params: { path: root } });
  crashPoint('scan');
  return scanner.nodes;
}

function rootStat(root: string): BigIntStats {
  const params = { path: root };
  try {
    const stat = lstatSync(root, { bigint: true });
    if (stat.isDirectory()) return stat;
  } catch (error) {
    const typed = diskError(error, root);
    if (typed instanceof AgentError) throw typed;
    throw new AgentError('path-missing', `${root} is not there`, { params, cause: error });
  }
  throw new AgentError('path-missing', `${root} is no folder`, { params });
}

class Scanner {
  readonly nodes: ScanNode[] = [];
  readonly #root: string;
  readonly #options: ScanOptions;
  #looks = 0;
  #sliceStart = performance.now();

  constructor(root: string, options: ScanOptions) {
    this.#root = root;
    this.#options = options;
  }

  /**
   * Adds what is in a folder, which was `before` when it was found. False: it is another one now (perhaps a link that
   * leads out of the mandate), and nothing of it was added.
   */
  async visit(path: string, before: BigIntStats): Promise<boolean> {
    const folder = path === '' ? this.#root : `${this.#root}/${path}`;
    const prefix = path === '' ? '' : `${path}/`;
    const { names, refused } = (this.#options.list ?? listNames)(folder);
    const children: { node: ScanNode; stat: BigIntStats | undefined }[] = [];
    for (const name of names) {
      const child = this.#look(prefix + name, refused.get(name));
      if (child) children.push(child);
      this.#looks += 1;
      if (this.#looks % LOOKS_PER_CHECK === 0) await this.#breathe();
    }
    if (!isSameFolder(folder, before)) return false;
    for (const { node, stat } of children) {
      const at = this.nodes.push(node) - 1;
      if (node.type === 'folder' && stat) await this.#enter(node, stat, at);
    }
    return true;
  }

  async #enter(node: ScannedFolder, stat: BigIntStats, at: number): Promise<void> {
    try {
      if (await this.visit(node.path, stat)) return;
      this.#giveUp(node, at, 'changed');
    } catch (error) {
      if (error instanceof AgentError) throw error;
      this.#giveUp(node, at, reasonOf(error));
    }
  }

  /** A folder whose content is not known is a problem as a whole: an empty folder would be a lie. */
  #giveUp(node: ScannedFolder, at: number, reason: string): void {
    this.nodes.length = at;
    const { path, mtime, mode } = node;
    this.nodes.push({ type: 'problem', path, mtime, mode, reason });
  }

  #look(path: string, refused: string | undefined): { node: ScanNode; stat: BigIntStats | undefined } | undefined {
    const nowhere = { path, mtime: 0, mode: 0 };
    if (path.length * 3 > MAX_PATH_BYTES && Buffer.byteLength(path) > MAX_PATH_BYTES)
      throw Object.assign(new Error(`${path} is too long`), { code: 'ENAMETOOLONG' });
    if (refused) return { node: { type: 'problem', ...nowhere, reason: refused }, stat: undefined };
    try {
      const stat = lstatSync(`${this.#root}/${path}`, { bigint: true });
      return { node: nodeOf(`${this.#root}/${path}`, path, stat), stat };
    } catch (error) {
      // gone since the folder was listed: it is simply not there
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      return { node: { type: 'problem', ...nowhere, reason: reasonOf(error) }, stat: undefined };
    }
  }

  async #breathe(): Promise<void> {
    if (performance.now() - this.#sliceStart < SLICE_MS) return;
    this.#options.onProgress?.(this.nodes.length);
    await nextTurn();
    if (this.#options.signal?.aborted) throw new AgentError('interrupted', 'interrupted while scanning');
    this.#sliceStart = performance.now();
  }
}

function isSameFolder(folder: string, before: BigIntStats): boolean {
  const now = lstatSync(folder, { bigint: true });
  return now.isDirectory() && now.ino === before.ino && now.dev === before.dev;
}

function nodeOf(absolute: string, path: string, stat: BigIntStats): ScanNode {
  const common = { path, mtime: microsOf(stat), mode: Number(stat.mode) & PERMISSIONS };
  if (stat.isFile()) return { type: 'file', ...common, stat: statOf(stat) };
  if (stat.isDirectory()) return { type: 'folder', ...common };
  if (!stat.isSymbolicLink()) return { type: 'problem', ...common, reason: 'special' };
  const target = linkTarget(absolute);
  if (target === undefined) return { type: 'problem', ...common, reason: 'invalid-link' };
  return { type: 'link', ...common, target };
}

/** The modification time in whole µs, 0 before 1970 (SPEC 11); from ns, since a double of ms is off by a quarter µs. */
export function microsOf({ mtimeNs }: Pick<BigIntStats, 'mtimeNs'>): number {
  return mtimeNs > 0n ? Number(mtimeNs / 1000n) : 0;
}

function linkTarget(path: string): string | undefined {
  const bytes = readlinkSync(path, 'buffer');
  const text = bytes.toString('utf8');
  const isText = text.isWellFormed() && Buffer.compare(Buffer.from(text), bytes) === 0;
  return isText && bytes.length > 0 && bytes.length <= MAX_PATH_BYTES ? text : undefined;
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENAMETOOLONG') return 'path-too-long';
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'changed';
  if (code === undefined) throw error;
  return 'unreadable';
}
