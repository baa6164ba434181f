import { type FileHandle, link, mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crashPoint } from '../crash.ts';
import { ServerError } from '../errors.ts';
import { receive } from './receive.ts';
import { type BlobFacts, type BlobRead, type BlobStore, type ByteRange, checkKey, checkPrefix } from './store.ts';
import { tempName, writerOf } from './writer-name.ts';

const TEMP = 'tmp';
const READ_SIZE = 256 * 1024;
const DAY = 24 * 3600 * 1000;

/**
 * The bucket as a folder, one file per object. A new object is written to `tmp/`, synced, then linked under its name
 * (which fails where the name exists, so nothing is ever overwritten), then its folder is synced.
 */
export class FolderStore implements BlobStore {
  readonly #root: string;
  readonly #known = new Set<string>();
  /** Read buffers that nobody uses; as many as there ever were downloads at once. */
  readonly #buffers: Buffer[] = [];

  private constructor(root: string) {
    this.#root = root;
  }

  /** Opens the folder, which is made when missing. */
  static async open(root: string): Promise<FolderStore> {
    const store = new FolderStore(root);
    await mkdir(root, { recursive: true, mode: 0o700 });
    await store.#ensureFolder(join(root, TEMP));
    return store;
  }

  /**
   * Removes what uploads of dead processes left behind (F-13), and what nobody has written to for a day where it cannot
   * be told whose it is. Safe at any time.
   */
  async sweepTemp(now: number): Promise<number> {
    let removed = 0;
    for (const name of await readdir(join(this.#root, TEMP))) {
      const path = join(this.#root, TEMP, name);
      const writer = writerOf(name);
      if (writer === 'running') continue;
      const young = now - ((await stat(path).catch(ignoreMissing))?.mtimeMs ?? 0) < DAY;
      if (writer === 'unknown' && young) continue;
      await unlink(path).catch(ignoreMissing);
      removed += 1;
    }
    return removed;
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    facts: BlobFacts,
  ): Promise<'created' | 'exists'> {
    checkKey(key);
    const temp = join(this.#root, TEMP, tempName());
    try {
      await writeTemp(temp, body, facts);
      if (key.includes('/p/')) crashPoint('pack-temp');
      return await this.#publish(temp, join(this.#root, key));
    } catch (error) {
      throw isFull(error) ? new ServerError('storage-full', { retryAfter: 60 }, { cause: error }) : error;
    } finally {
      await unlink(temp).catch(ignoreMissing);
    }
  }

  async get(key: string, range?: ByteRange): Promise<BlobRead | undefined> {
    const found = await this.stat(key);
    if (found === undefined) return undefined;
    const { start, end } = range ?? { start: 0, end: found.length - 1 };
    return { length: found.length, body: this.#read(join(this.#root, key), start, end + 1) };
  }

  async stat(key: string): Promise<{ readonly length: number } | undefined> {
    checkKey(key);
    const found = await stat(join(this.#root, key)).catch(ignoreMissing);
    return found === undefined ? undefined : { length: found.size };
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    const path = join(this.#root, key);
    await unlink(path).catch(ignoreMissing);
    await syncFolder(dirname(path)).catch(ignoreMissing);
  }

  async *list(prefix: string): AsyncIterable<string> {
    checkPrefix(prefix);
    const folder = await readdir(join(this.#root, prefix), { withFileTypes: true }).catch(ignoreMissing);
    for (const entry of folder ?? []) {
      if (entry.isDirectory()) yield* this.list(`${prefix}${entry.name}/`);
      else yield `${prefix}${entry.name}`;
    }
  }

  /** How many bytes still have room; undefined where nobody knows. */
  async room(): Promise<number | undefined> {
    const { blocks, bavail, bsize } = await statfs(this.#root);
    return blocks === 0 ? undefined : bavail * bsize; // some network file systems do not say
  }

  async *#read(path: string, start: number, end: number): AsyncGenerator<Uint8Array> {
    const buffer = this.#buffers.pop() ?? Buffer.allocUnsafeSlow(READ_SIZE);
    const file = await open(path, 'r');
    try {
      for (let at = start; at < end; ) {
        const { bytesRead } = await file.read(buffer, 0, Math.min(READ_SIZE, end - at), at);
        if (bytesRead === 0) throw new ServerError('stored-damaged', { detail: 'A stored object is cut short' });
        yield buffer.subarray(0, bytesRead);
        at += bytesRead;
      }
      // only here: whoever stopped earlier may have left the last piece in a socket that is still being written
      this.#buffers.push(buffer);
    } finally {
      await file.close();
    }
  }

  async #publish(temp: string, path: string): Promise<'created' | 'exists'> {
    await this.#ensureFolder(dirname(path));
    const created = await linkNew(temp, path);
    await syncFolder(dirname(path)); // also when it existed: whoever linked it may not have come to this line
    return created ? 'created' : 'exists';
  }

  /** Makes a folder and syncs its parent, so that a power cut cannot take the folder away under its objects. */
  async #ensureFolder(folder: string): Promise<void> {
    if (this.#known.has(folder)) return;
    if (folder !== this.#root) {
      await this.#ensureFolder(dirname(folder));
      await mkdir(folder, { mode: 0o700 }).catch(ignoreExisting);
      await syncFolder(dirname(folder));
    }
    this.#known.add(folder);
  }
}

async function writeTemp(path: string, body: Uint8Array | AsyncIterable<Uint8Array>, facts: BlobFacts): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await receive(body, facts, (pieces, position) => writePieces(file, pieces, position));
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function writePieces(file: FileHandle, pieces: Uint8Array[], position: number): Promise<void> {
  let { bytesWritten: done } = await file.writev(pieces, position);
  for (const piece of pieces) {
    if (done < piece.length) await writeWhole(file, piece.subarray(done), position + done);
    done = Math.max(0, done - piece.length);
    position += piece.length;
  }
}

/** A short write means a full disk is near; the next one then fails with the reason. */
async function writeWhole(file: FileHandle, piece: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < piece.length) {
    const { bytesWritten } = await file.write(piece, done, piece.length - done, position + done);
    done += bytesWritten;
  }
}

/** Gives `temp` its name unless that is taken. File systems without hard links get a check and a rename. */
async function linkNew(temp: string, path: string): Promise<boolean> {
  try {
    await link(temp, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'].includes(codeOf(error) ?? '')) throw error;
  }
  if ((await stat(path).catch(ignoreMissing)) !== undefined) return false;
  await rename(temp, path);
  return true;
}

async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return; // a folder cannot be opened there; NTFS journals names itself
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

function isFull(error: unknown): boolean {
  return codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT';
}

function ignoreMissing(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
}

function ignoreExisting(error: unknown): undefined {
  if (codeOf(error) !== 'EEXIST') throw error;
}
