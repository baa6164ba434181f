import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { copyDiskError } from './copy-error.ts';

/** Takes bytes front to back. What is handed over must stay as it is. */
export interface ByteSink {
  write(bytes: Buffer): Promise<void>;
  /** No more will come; everything is on its way to the disk. */
  end(): Promise<void>;
}

/** Gathered before it goes to the disk, so that headers and small files are no writes of their own. */
const GATHER_BYTES = 1024 * 1024;
const GATHER_PIECES = 512;

/**
 * A new file (never an existing one), written front to back and hashed on the way. One write is under way while the next is
 * gathered.
 */
export class FileSink implements ByteSink {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #hash = createHash('sha256');
  #pieces: Buffer[] = [];
  #gathered = 0;
  #underWay: Promise<void> = Promise.resolve();
  /** Bytes taken so far. */
  bytes = 0;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /** @throws AgentError of the disk, or EEXIST */
  static async create(path: string): Promise<FileSink> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);
    try {
      return new FileSink(path, await open(path, flags, 0o600));
    } catch (error) {
      throw copyDiskError(error, path);
    }
  }

  async write(bytes: Buffer): Promise<void> {
    this.#pieces.push(bytes);
    this.#gathered += bytes.length;
    this.bytes += bytes.length;
    if (this.#gathered >= GATHER_BYTES || this.#pieces.length >= GATHER_PIECES) await this.#flush();
  }

  /** Writes out and makes durable. @returns the SHA-256 of the whole file as hex */
  async finish(): Promise<string> {
    await this.end();
    return this.#hash.digest('hex');
  }

  async end(): Promise<void> {
    await this.#flush();
    await this.#underWay;
    await this.#onDisk(() => this.#handle.sync());
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #flush(): Promise<void> {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#gathered = 0;
    await this.#underWay;
    const writing = this.#onDisk(() => this.#writeAll(pieces));
    writing.catch(() => undefined); // awaited by the next flush
    this.#underWay = writing;
    for (const piece of pieces) this.#hash.update(piece);
  }

  async #writeAll(pieces: Buffer[]): Promise<void> {
    let left = pieces.filter(({ length }) => length > 0);
    while (left.length > 0) {
      const { bytesWritten } = await this.#handle.writev(left);
      left = afterBytes(left, bytesWritten);
    }
  }

  async #onDisk<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw copyDiskError(error, this.path);
    }
  }
}

/** What is left of pieces after a write that took only some of them. */
function afterBytes(pieces: readonly Buffer[], written: number): Buffer[] {
  let skip = written;
  const left: Buffer[] = [];
  for (const piece of pieces) {
    if (skip >= piece.length) skip -= piece.length;
    else {
      left.push(piece.subarray(skip));
      skip = 0;
    }
  }
  return left;
}
