import { receive } from './receive.ts';
import { type BlobFacts, type BlobRead, type BlobStore, type ByteRange, checkKey, checkPrefix } from './store.ts';

const PIECE = 64 * 1024;

/** A bucket in memory, for tests and trials. */
export class MemoryStore implements BlobStore {
  readonly #objects = new Map<string, Buffer>();

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    facts: BlobFacts,
  ): Promise<'created' | 'exists'> {
    checkKey(key);
    const bytes = Buffer.alloc(facts.length);
    await receive(body, facts, async (pieces, position) => {
      bytes.set(Buffer.concat(pieces), position);
    });
    if (this.#objects.has(key)) return 'exists';
    this.#objects.set(key, bytes);
    return 'created';
  }

  async get(key: string, range?: ByteRange): Promise<BlobRead | undefined> {
    checkKey(key);
    const bytes = this.#objects.get(key);
    if (bytes === undefined) return undefined;
    const part = range === undefined ? bytes : bytes.subarray(range.start, range.end + 1);
    return { length: bytes.length, body: lend(part) };
  }

  async stat(key: string): Promise<{ readonly length: number } | undefined> {
    checkKey(key);
    const bytes = this.#objects.get(key);
    return bytes === undefined ? undefined : { length: bytes.length };
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    this.#objects.delete(key);
  }

  async *list(prefix: string): AsyncIterable<string> {
    checkPrefix(prefix);
    for (const key of [...this.#objects.keys()]) if (key.startsWith(prefix)) yield key;
  }
}

/** Like a real store: what was lent is overwritten when the next piece is asked for, so that a misuse shows in tests. */
async function* lend(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) {
    const piece = Uint8Array.from(bytes.subarray(at, at + PIECE));
    yield piece;
    piece.fill(0xdd);
  }
}
