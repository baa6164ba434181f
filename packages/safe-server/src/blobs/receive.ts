import { createHash } from 'node:crypto';
import { ServerError } from '../errors.ts';
import type { BlobFacts } from './store.ts';

/** Pieces are hashed in this size, so that no call holds up the event loop. */
const PIECE = 64 * 1024;
/** Bytes that go into one write: four network reads, which halves what writing costs. */
const BATCH = 4 * PIECE;

/** Writes pieces one after the other, from `position` on. */
type WritePieces = (pieces: Uint8Array[], position: number) => Promise<unknown>;

/**
 * Takes a body in: each piece is hashed as it comes, a batch is written while the next one arrives, and the memory of a
 * stream's pieces is freed as soon as it was written, because fresh memory is what bounds the speed of an upload. When
 * this settles, no write is under way any more.
 *
 * @throws ServerError `hash-mismatch` as soon as the body is too long, or at its end
 */
export async function receive(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  facts: BlobFacts,
  write: WritePieces,
): Promise<void> {
  const hash = createHash('sha256');
  const batches = new Batches(write, !(body instanceof Uint8Array));
  try {
    for await (const chunk of body instanceof Uint8Array ? [body] : body) {
      if (batches.received + chunk.length > facts.length) throw new ServerError('hash-mismatch');
      for (let at = 0; at < chunk.length; at += PIECE) hash.update(chunk.subarray(at, at + PIECE));
      await batches.add(chunk);
    }
    await batches.finish();
  } finally {
    await batches.settled();
  }
  if (batches.received !== facts.length || hash.digest('hex') !== facts.sha256) throw new ServerError('hash-mismatch');
}

/** Gathers pieces and keeps one write under way. */
class Batches {
  readonly #write: WritePieces;
  readonly #owned: boolean;
  #pieces: Uint8Array[] = [];
  #start = 0;
  #gathered = 0;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(write: WritePieces, owned: boolean) {
    this.#write = write;
    this.#owned = owned;
  }

  get received(): number {
    return this.#start + this.#gathered;
  }

  async add(piece: Uint8Array): Promise<void> {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#gathered += piece.length;
    if (this.#gathered >= BATCH) await this.#flush();
  }

  async finish(): Promise<void> {
    if (this.#gathered > 0) await this.#flush();
    await this.#writing;
  }

  /** Waits for the write under way; whether it failed is told by `add` and `finish`. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  async #flush(): Promise<void> {
    await this.#writing;
    const pieces = this.#pieces;
    const written = this.#write(pieces, this.#start);
    this.#writing = this.#owned ? written.then(() => pieces.forEach(free)) : written;
    this.#writing.catch(() => undefined); // looked at by the next step; until then it is no unhandled rejection
    this.#start += this.#gathered;
    this.#gathered = 0;
    this.#pieces = [];
  }
}

/** Gives memory back now rather than at some garbage collection; only where nothing else lies in the same memory. */
function free(piece: Uint8Array): void {
  const memory = piece.buffer;
  if (memory instanceof ArrayBuffer && piece.length === memory.byteLength && piece.length >= PIECE / 4)
    memory.transfer(0);
}
