/** What paces an upload, and how large its pieces shall be. */
export interface Pace {
  /** Waits until `bytes` may go out. @throws whatever the signal aborts with */
  take(bytes: number, signal?: AbortSignal): Promise<void>;
  /** Size of the pieces that keep the line even at the present limit. */
  pieceBytes(most: number): number;
  /** How long `bytes` may take at the present limit, ms, others sharing it; 0 without a limit. */
  expectedMs(bytes: number): number;
}

export interface PacerOptions {
  /** Bytes a second that may go out now; undefined: no limit at this time of day. */
  readonly limit: () => number | undefined;
  /** Monotonic ms: a clock that is set must neither stop nor flood the line. */
  readonly now?: () => number;
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** While it waits it looks at the limit this often: at the end of the office hours it stops waiting. */
const LOOK_MS = 1000;
const LEAST_PIECE = 4 * 1024;
/** Packs under way at the same time. */
const SHARERS = 3;

/**
 * A token bucket that holds one second's worth of bytes, shared by all uploads of a run: first come, first served, so
 * that none of them starves and looks stalled to the server.
 */
export class Pacer implements Pace {
  readonly #limit: () => number | undefined;
  readonly #now: () => number;
  readonly #sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Bytes that may go out at once; below zero while a piece larger than the bucket is paid for. */
  #tokens = 0;
  #filledAt: number;
  #turn: Promise<void> = Promise.resolve();

  constructor({ limit, now = () => performance.now(), sleep = wait }: PacerOptions) {
    this.#limit = limit;
    this.#now = now;
    this.#sleep = sleep;
    this.#filledAt = now();
  }

  pieceBytes(most: number): number {
    const limit = this.#limit();
    return limit === undefined ? most : Math.min(most, Math.max(LEAST_PIECE, Math.floor(limit / 8)));
  }

  expectedMs(bytes: number): number {
    const limit = this.#limit();
    return limit === undefined ? 0 : (bytes * SHARERS * 1000) / limit;
  }

  take(bytes: number, signal?: AbortSignal): Promise<void> {
    const mine = this.#turn.then(() => this.#wait(bytes, signal));
    this.#turn = mine.catch(() => undefined); // who gave up must not stop those behind it
    return mine;
  }

  async #wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      const limit = this.#limit();
      if (limit === undefined) {
        this.#filledAt = this.#now();
        this.#tokens = 0;
        return;
      }
      this.#fill(limit);
      // a piece may be larger than the bucket: a full one is enough to begin with, the debt is waited for by the next
      const needed = Math.min(bytes, limit);
      if (this.#tokens >= needed) {
        this.#tokens -= bytes;
        return;
      }
      await this.#sleep(Math.min(LOOK_MS, Math.ceil(((needed - this.#tokens) / limit) * 1000)), signal);
    }
  }

  #fill(limit: number): void {
    const now = this.#now();
    this.#tokens = Math.min(limit, this.#tokens + ((now - this.#filledAt) / 1000) * limit);
    this.#filledAt = now;
  }
}

function wait(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve(); // the next look throws when it was aborted
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
