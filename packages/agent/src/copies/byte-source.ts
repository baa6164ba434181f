import { type FileHandle, open } from 'node:fs/promises';
import { AgentError } from '../errors.ts';
import { diskError } from '../local/files.ts';
import { copyDefect } from './copy-error.ts';

/** Bytes that can be read at any place. */
export interface ByteSource {
  readonly size: number;
  /** Exactly these bytes. @throws AgentError `integrity` when there are fewer */
  read(offset: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** A file on disk. */
export class FileSource implements ByteSource {
  readonly size: number;
  readonly #path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, size: number) {
    this.#path = path;
    this.#handle = handle;
    this.size = size;
  }

  /** @throws AgentError `path-missing`, `permission`, `integrity` when it is no ordinary file */
  static async open(path: string): Promise<FileSource> {
    try {
      const handle = await open(path, 'r');
      const stat = await handle.stat();
      if (stat.isFile()) return new FileSource(path, handle, stat.size);
      await handle.close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT')
        throw new AgentError('path-missing', `${path} is not there`, { key: 'error.file-missing', params: { path } });
      throw diskError(error, path);
    }
    throw copyDefect('not-a-copy', { path });
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const into = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await this.#handle.read(into, done, length - done, offset + done);
      if (bytesRead === 0) throw copyDefect('truncated', { path: this.#path });
      done += bytesRead;
    }
    return into;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Small reads near each other become one. */
const WINDOW_BYTES = 512 * 1024;

/** The same bytes; reads of less than a quarter of the window are taken from a window that moves along. */
export class WindowedSource implements ByteSource {
  readonly size: number;
  readonly #source: ByteSource;
  #at = 0;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(source: ByteSource) {
    this.#source = source;
    this.size = source.size;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (length > WINDOW_BYTES / 4) return this.#source.read(offset, length);
    if (offset + length > this.size) throw copyDefect('truncated');
    const isInside = offset >= this.#at && offset + length <= this.#at + this.#bytes.length;
    if (isInside) return this.#bytes.subarray(offset - this.#at, offset - this.#at + length);
    const bytes = await this.#source.read(offset, Math.min(WINDOW_BYTES, this.size - offset));
    this.#at = offset;
    this.#bytes = bytes;
    return bytes.subarray(0, length);
  }

  close(): Promise<void> {
    return this.#source.close();
  }
}
