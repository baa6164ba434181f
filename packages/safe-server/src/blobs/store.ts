import { ServerError } from '../errors.ts';

/** What a body must turn out to be; `sha256` is 64 lower-case hex digits, `length` in bytes. */
export interface BlobFacts {
  readonly length: number;
  readonly sha256: string;
}

/** Bytes from `start` to `end`, both inclusive, as in HTTP; the caller has checked that they lie in the object. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** An object that was found. Nothing is open until `body` is read. */
export interface BlobRead {
  /** Length of the whole object, whatever the range. */
  readonly length: number;
  /**
   * The bytes, once. A piece is only lent: its memory is used again as soon as the next one is asked for, because fresh
   * memory is what bounds the speed of a download.
   */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * The bucket: immutable objects under keys. `store.contract.ts` holds every implementation to this:
 *
 * - An object exists with all of its bytes or not at all, also after a power cut once `put` has resolved.
 * - Nothing is ever overwritten: `put` on a key that exists checks the body all the same, then leaves the object alone.
 * - Bytes that are not what `facts` says are never visible, not even for a moment.
 * - Keys have the shape of `KEY`; anything else is a bug of the caller and throws before anything happens.
 * - `list` may lag behind: nothing but audits and rebuilds relies on it.
 * - A store that does not answer, or not sensibly, is `store-unavailable` after some tries; `put` and a `body` that was
 *   begun may then have done their work or not.
 */
export interface BlobStore {
  /**
   * Creates an object. The pieces of a stream become the store's own: it may free their memory.
   *
   * @throws ServerError `hash-mismatch`, `storage-full`, `store-unavailable`; or what the stream threw
   */
  put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, facts: BlobFacts): Promise<'created' | 'exists'>;
  /** The object, or the part of it that `range` names; undefined when there is none. */
  get(key: string, range?: ByteRange): Promise<BlobRead | undefined>;
  /** The length of an object; undefined when there is none. */
  stat(key: string): Promise<{ readonly length: number } | undefined>;
  /** Removes an object; no error when there is none. */
  delete(key: string): Promise<void>;
  /** The keys below a prefix that ends with `/`, in no order. */
  list(prefix: string): AsyncIterable<string>;
}

const PART = '[0-9A-Za-z][0-9A-Za-z-]{0,99}';
const KEY = new RegExp(`^[a-z]{1,8}(/${PART}){1,5}$`);
const PREFIX = new RegExp(`^[a-z]{1,8}/(${PART}/){0,4}$`);

/** Refuses what is not a key: no dots, no empty parts, nothing a file system or a bucket could read otherwise. */
export function checkKey(key: string): void {
  if (!KEY.test(key)) throw new TypeError('not a blob key');
}

/** Refuses what is not a prefix of keys. */
export function checkPrefix(prefix: string): void {
  if (!PREFIX.test(prefix)) throw new TypeError('not a prefix of blob keys');
}

/** A whole object in memory, for small ones; undefined when there is none. */
export async function readBlob(store: BlobStore, key: string, maxBytes: number): Promise<Buffer | undefined> {
  const read = await store.get(key);
  if (read === undefined) return undefined;
  if (read.length > maxBytes) throw new ServerError('stored-damaged');
  const bytes = Buffer.alloc(read.length);
  let at = 0;
  for await (const piece of read.body) {
    bytes.set(piece, at);
    at += piece.length;
  }
  if (at !== read.length) throw new ServerError('stored-damaged');
  return bytes;
}
