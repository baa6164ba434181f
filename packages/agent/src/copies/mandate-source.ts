import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Books } from '../backup/entry.ts';
import { type FileStat, sameStat, statOf } from '../compute/jobs.ts';
import { AgentError } from '../errors.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { microsOf, type ScanNode, scanMandate } from '../mandate/scan.ts';
import { BLOCK_BYTES } from './blocks.ts';
import { type CopySource, SourceChanged, type SourceFile, type SourceNode, type SourcePass } from './copy-source.ts';
import { pathDefect } from './entry-path.ts';
import { expectedBytes } from './expected-bytes.ts';
import type { CopyProblem } from './manifest.ts';

const TRIES = 3;
const PAUSE_MS = 150;
/** Never through a link, never hanging on a pipe: what is at the path may have been swapped since the scan. */
const READ_ONLY = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

export interface MandateSourceOptions {
  readonly mandate: Mandate;
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A mandate on disk as one consistent set. Small files are read whole and read again when they changed meanwhile; a big one
 * that changes makes the pass void. The books (module files and their journals) come last and must all be as they were when
 * they were read at the end of the pass. After three tries a book that still changes refuses the copy (F-27), any other file
 * becomes a problem of it.
 */
export class MandateSource implements CopySource {
  readonly kind = 'mandate';
  readonly id = undefined;
  readonly comment = '';
  readonly folder: string;
  readonly mandate: { readonly name: string; readonly id: string };
  readonly modules: Mandate['modules'];
  readonly #options: MandateSourceOptions;
  readonly #books: ReadonlySet<string>;
  readonly #tries = new Map<string, number>();
  readonly #givenUp = new Map<string, string>();
  #seen = new Map<string, FileStat>();
  createdAt: number;

  constructor(options: MandateSourceOptions) {
    const { name, mandateId, path, modules } = options.mandate;
    this.#options = options;
    this.mandate = { name, id: mandateId };
    this.modules = modules;
    this.folder = path;
    this.#books = new Set(new Books(modules).paths());
    this.createdAt = options.now();
  }

  async begin(): Promise<SourcePass> {
    const { signal, now } = this.#options;
    this.createdAt = now();
    this.#seen = new Map();
    const problems: CopyProblem[] = [];
    const nodes: SourceNode[] = [];
    for (const node of await scanMandate(this.folder, { signal })) {
      const code = this.#problemOf(node);
      if (node.type === 'problem' || node.type === 'link' || code !== undefined) {
        problems.push({ path: node.path, code: code ?? 'unreadable' });
        continue;
      }
      const { type, path, mtime, mode } = node;
      if (type === 'file') this.#seen.set(path, node.stat);
      nodes.push({ type, path, mtime, mode, size: type === 'file' ? node.stat.size : 0 });
    }
    const files = nodes.filter(({ type }) => type === 'file');
    const isBook = ({ path }: SourceNode): boolean => this.#books.has(path);
    // the books last: the shorter the time between their reading and the look at the end, the better
    const ordered = [...files.filter((node) => !isBook(node)), ...files.filter(isBook)];
    return { nodes, files: ordered, problems, expectedBytes: expectedBytes(this.folder, files) };
  }

  async read(node: SourceNode): Promise<SourceFile | CopyProblem> {
    const { path } = node;
    for (;;) {
      const found = this.#tryRead(path);
      if (typeof found !== 'string') return found;
      if (found === 'unreadable') return this.#giveUp(path, found);
      if (found === 'vanished' && !this.#books.has(path)) return { path, code: found };
      if (found === 'vanished') await this.#restart(path);
      if (this.#count(path) >= TRIES) return this.#giveUp(path, found);
      await this.#pause();
      this.#lookAgain(path);
    }
  }

  async end(): Promise<void> {
    for (const path of this.#books) {
      const before = this.#seen.get(path);
      const now = statIfThere(this.#at(path));
      // a journal that was not there when the folder was listed: someone works in the books
      const isSame = before === undefined ? !now?.isFile() : now?.isFile() === true && sameStat(statOf(now), before);
      if (!isSame) await this.#restart(path);
    }
  }

  #problemOf(node: ScanNode): string | undefined {
    if (node.type === 'problem') return node.reason;
    if (node.type === 'link') return 'link';
    if (pathDefect(node.path) !== undefined) return 'name';
    return this.#givenUp.get(node.path);
  }

  #tryRead(path: string): SourceFile | 'changed' | 'vanished' | 'unreadable' {
    const seen = this.#seen.get(path);
    if (seen === undefined) return 'changed';
    let file: number | undefined;
    try {
      // synchronous: five trips to another thread for each of thousands of small files cost more than reading them
      file = openSync(this.#at(path), READ_ONLY);
      const stat = fstatSync(file, { bigint: true });
      if (!stat.isFile() || !sameStat(statOf(stat), seen)) return 'changed';
      const facts = { mtime: microsOf(stat), mode: Number(stat.mode) & 0o777, size: seen.size };
      if (seen.size > BLOCK_BYTES) return { ...facts, blocks: this.#blocks(path, seen) };
      const bytes = readSmall(file, seen.size);
      if (bytes === undefined || !sameStat(statOf(fstatSync(file, { bigint: true })), seen)) return 'changed';
      return { ...facts, blocks: one(bytes) };
    } catch (error) {
      return failureOf(error);
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }

  /** The blocks of a big file; the last one only once the file is known to have stayed as it was. */
  async *#blocks(path: string, seen: FileStat): AsyncGenerator<Buffer> {
    const handle = await open(this.#at(path), READ_ONLY).catch(() => this.#restart(path));
    try {
      for (let at = 0; at < seen.size; at += BLOCK_BYTES) {
        const isLast = at + BLOCK_BYTES >= seen.size;
        const bytes = await readBlock(handle, at, Math.min(BLOCK_BYTES, seen.size - at));
        const isSound = bytes !== undefined && (!isLast || (await isStill(handle, seen)));
        yield isSound ? bytes : await this.#restart(path);
      }
    } finally {
      await handle.close();
    }
  }

  /** Notes a try that failed and ends the pass; after the last try the file is given up, a book never is. */
  async #restart(path: string): Promise<never> {
    if (this.#count(path) >= TRIES) this.#giveUp(path, 'changed');
    await this.#pause();
    throw new SourceChanged(path);
  }

  #pause(): Promise<unknown> {
    const { signal } = this.#options;
    return pause(PAUSE_MS, undefined, signal ? { signal } : {});
  }

  #count(path: string): number {
    const tries = (this.#tries.get(path) ?? 0) + 1;
    this.#tries.set(path, tries);
    return tries;
  }

  #giveUp(path: string, code: string): CopyProblem {
    if (this.#books.has(path)) throw code === 'unreadable' ? unreadable(path) : unstable(path);
    this.#givenUp.set(path, code);
    return { path, code };
  }

  #lookAgain(path: string): void {
    const now = statIfThere(this.#at(path));
    if (now?.isFile()) this.#seen.set(path, statOf(now));
  }

  #at(path: string): string {
    return `${this.folder}/${path}`;
  }
}

function statIfThere(path: string): BigIntStats | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true });
}

async function* one(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield bytes;
}

function unstable(path: string): AgentError {
  return new AgentError('mandate-unstable', `${path} kept changing while it was read`, {
    params: { file: path },
    details: { file: path },
  });
}

function unreadable(path: string): AgentError {
  return new AgentError('permission', `${path} cannot be read`, { params: { path }, details: { path } });
}

/** Exactly `size` bytes, or undefined when the file ends before. */
function readSmall(file: number, size: number): Buffer | undefined {
  const into = Buffer.allocUnsafeSlow(size);
  for (let done = 0; done < size; ) {
    const read = readSync(file, into, done, size - done, done);
    if (read === 0) return undefined;
    done += read;
  }
  return into;
}

/** The same from the middle of a big file; undefined also when it cannot be read. */
async function readBlock(handle: FileHandle, at: number, length: number): Promise<Buffer | undefined> {
  const into = Buffer.allocUnsafeSlow(length);
  try {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(into, done, length - done, at + done);
      if (bytesRead === 0) return undefined;
      done += bytesRead;
    }
    return into;
  } catch (error) {
    failureOf(error);
    return undefined;
  }
}

async function isStill(handle: FileHandle, seen: FileStat): Promise<boolean> {
  return sameStat(statOf(await handle.stat({ bigint: true })), seen);
}

function failureOf(error: unknown): 'changed' | 'vanished' | 'unreadable' {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'vanished';
  // ELOOP: it is a link now; ENXIO: a socket
  if (code === 'ELOOP' || code === 'ENXIO' || code === 'EISDIR') return 'changed';
  if (code === undefined) throw error;
  return 'unreadable';
}
