import { createHash } from 'node:crypto';
import { ServerError } from '../errors.ts';
import type { Turns } from './s3-wire.ts';
import type { BlobFacts } from './store.ts';

/** Pieces are hashed in this size, so that no call holds up the event loop. */
const PIECE = 64 * 1024;

/**
 * A body on its way to a store. It is hashed as it passes, and its last piece is held back until the whole has the
 * length and hash that it must have: what is wrong never reaches the store complete, whatever the store checks.
 */
export class Intake {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #facts: BlobFacts;
  readonly #hash = createHash('sha256');
  #received = 0;
  #held: Uint8Array | undefined;
  #reading: Promise<unknown> = Promise.resolve();
  /** Whether a piece was asked for; before that, the body can still be sent another time. */
  isTouched = false;
  /** Whether all of it was handed over. */
  isDone = false;
  /** What the body itself failed with: its sender, or its hash. */
  failure: unknown;

  constructor(body: AsyncIterable<Uint8Array>, facts: BlobFacts) {
    this.#source = body[Symbol.asyncIterator]();
    this.#facts = facts;
  }

  /** The pieces, for one request; `turns` is told whose turn it is. Leaving early leaves the rest for `drain`. */
  async *pieces(turns: Turns): AsyncGenerator<Uint8Array> {
    for (;;) {
      turns.ours();
      const piece = await this.#next();
      turns.theirs();
      if (piece === undefined) return;
      yield piece;
    }
  }

  /** Reads what is left and throws what is wrong with the body. */
  async drain(): Promise<void> {
    await this.#reading.catch(() => undefined);
    while (this.failure === undefined && (await this.#next()) !== undefined);
    if (this.failure !== undefined) throw this.failure;
  }

  /** Lets go of the sender. */
  async close(): Promise<void> {
    if (!this.isDone && this.failure === undefined) await this.#source.return?.();
  }

  #next(): Promise<Uint8Array | undefined> {
    this.isTouched = true;
    const next = this.#read().catch((error: unknown) => {
      this.failure ??= error;
      throw error;
    });
    this.#reading = next;
    return next;
  }

  async #read(): Promise<Uint8Array | undefined> {
    if (this.isDone) return undefined;
    for (;;) {
      const { done, value } = await this.#source.next();
      if (done) return this.#finish();
      if (value.length === 0) continue;
      this.#received += value.length;
      if (this.#received > this.#facts.length) throw new ServerError('hash-mismatch');
      for (let at = 0; at < value.length; at += PIECE) this.#hash.update(value.subarray(at, at + PIECE));
      const earlier = this.#held;
      this.#held = value;
      if (earlier !== undefined) return earlier;
    }
  }

  #finish(): Uint8Array | undefined {
    const { length, sha256 } = this.#facts;
    if (this.#received !== length || this.#hash.digest('hex') !== sha256) throw new ServerError('hash-mismatch');
    this.isDone = true;
    return this.#held;
  }
}
