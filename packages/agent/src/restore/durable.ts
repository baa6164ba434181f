import { spawn } from 'node:child_process';

const SYNC = '/bin/sync';
/** Below it a few fsyncs cost less than writing out what all others left in memory. */
const WORTH_FILES = 64;

/**
 * Makes everything on the file system of `folder` durable at once (syncfs(2), by the system's `sync -f`): 50,000
 * small files restore in 12 s this way; with an fsync of each, and modes and times set on the main thread, in 24 s
 * (medians of three).
 * @returns false where that is not worth it or not to be had: then each file needs its own fsync
 */
export function syncFileSystem(folder: string, files: number, signal?: AbortSignal): Promise<boolean> {
  if (process.platform !== 'linux' || files < WORTH_FILES) return Promise.resolve(false);
  return new Promise((resolve) => {
    // fixed path and no shell: nothing of the environment or of a name in the mandate decides what runs
    const child = spawn(SYNC, ['-f', folder], { stdio: 'ignore', env: {}, ...(signal && { signal }) });
    child.once('error', () => resolve(false));
    child.once('close', (code) => resolve(code === 0));
  });
}

/** Enough to keep a disk busy, and more than small restores have. */
const EARLY_BYTES = 32 * 1024 * 1024;

/**
 * Has the disk take what was written so far while more is on its way: what makes it durable at the end then waits for the
 * last bytes only. Nothing relies on it.
 */
export class EarlySync implements AsyncDisposable {
  readonly #folder: string;
  readonly #signal: AbortSignal | undefined;
  #unsynced = 0;
  #running: Promise<unknown> | undefined;

  constructor(folder: string, signal: AbortSignal | undefined) {
    this.#folder = folder;
    this.#signal = signal;
  }

  /** Notes that `bytes` more were written. */
  written(bytes: number): void {
    this.#unsynced += bytes;
    if (this.#unsynced < EARLY_BYTES || this.#running !== undefined) return;
    this.#unsynced = 0;
    this.#running = syncFileSystem(this.#folder, WORTH_FILES, this.#signal).finally(() => {
      this.#running = undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running;
  }
}
