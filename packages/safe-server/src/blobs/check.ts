import { createHash } from 'node:crypto';
import { ServerError } from '../errors.ts';
import type { BlobStore } from './store.ts';

/** What became of an object whose length and SHA-256 are known. */
export type ObjectState = 'whole' | 'missing' | 'rotten';

/** Reads an object to its last byte and compares it with what it must be. */
export async function checkObject(
  blobs: BlobStore,
  key: string,
  facts: { readonly length: number; readonly sha256: string },
): Promise<ObjectState> {
  const hash = createHash('sha256');
  try {
    const read = await blobs.get(key);
    if (read === undefined) return 'missing';
    if (read.length !== facts.length) return 'rotten';
    for await (const piece of read.body) hash.update(piece);
  } catch (error) {
    if (error instanceof ServerError && error.code === 'stored-damaged') return 'rotten';
    throw error; // a store that does not answer says nothing about the object
  }
  return hash.digest('hex') === facts.sha256 ? 'whole' : 'rotten';
}
