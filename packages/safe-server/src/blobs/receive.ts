import { createHash } from 'node:crypto';
import { ServerError } from '../errors.ts';
import type { BlobFacts } from './store.ts';

/** Pieces are cut to this size, so that hashing one never holds up the event loop. */
const PIECE = 64 * 1024;

/**
 * Takes a body in, piece by piece: each is hashed while `write` (which gets a piece and its position) is on its way, then
 * its memory is freed at once, because fresh memory is what bounds the speed of an upload.
 *
 * @throws ServerError `hash-mismatch` as soon as the body is too long, or at its end
 */
export async function receive(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  facts: BlobFacts,
  write: (piece: Uint8Array, position: number) => Promise<unknown>,
): Promise<void> {
  const hash = createHash('sha256');
  const owned = !(body instanceof Uint8Array);
  let position = 0;
  for await (const chunk of owned ? body : [body]) {
    if (position + chunk.length > facts.length) throw new ServerError('hash-mismatch');
    for (let at = 0; at < chunk.length; at += PIECE) {
      const piece = chunk.subarray(at, at + PIECE);
      const written = write(piece, position);
      hash.update(piece);
      await written;
      position += piece.length;
    }
    if (owned) free(chunk);
  }
  if (position !== facts.length || hash.digest('hex') !== facts.sha256) throw new ServerError('hash-mismatch');
}

/** Gives memory back now rather than at some garbage collection; only where nothing else lies in the same memory. */
function free(chunk: Uint8Array): void {
  const memory = chunk.buffer;
  if (memory instanceof ArrayBuffer && chunk.length === memory.byteLength && chunk.length >= PIECE / 4)
    memory.transfer(0);
}
