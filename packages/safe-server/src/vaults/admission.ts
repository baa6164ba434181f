import type { BlobStore } from '../blobs/store.ts';
import { ServerError } from '../errors.ts';

/**
 * Lets an upload in only while it leaves the reserve of the store untouched, before a byte of it is accepted: a disk that
 * uploads fill to the last block would stop the journal, the database and with them every restore (F-47).
 */
export class Admission {
  readonly #blobs: Pick<BlobStore, 'room'>;
  readonly #reserveBytes: number;
  /** Bytes that were promised to uploads under way. What of them is written already counts twice: on the safe side. */
  #promised = 0;

  constructor(blobs: Pick<BlobStore, 'room'>, reserveBytes: number) {
    this.#blobs = blobs;
    this.#reserveBytes = reserveBytes;
  }

  /** Promises room for `length` bytes and returns how to give the promise back. @throws ServerError `storage-full` */
  async enter(length: number): Promise<() => void> {
    const room = (await this.#blobs.room()) ?? Number.POSITIVE_INFINITY;
    if (room - this.#promised - length < this.#reserveBytes)
      throw new ServerError('storage-full', { retryAfter: 60, detail: 'No room for new packs; restores work' });
    this.#promised += length;
    return () => {
      this.#promised -= length;
    };
  }
}
