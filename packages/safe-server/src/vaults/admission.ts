import { ServerError } from '../errors.ts';

/** How many bytes the store still has room for; undefined where nobody knows or there is no such bound. */
export type Room = () => Promise<number | undefined>;

/**
 * Lets an upload in only while it leaves the reserve of the store untouched, before a byte of it is accepted: a disk that
 * uploads fill to the last block would stop the journal, the database and with them every restore (F-47).
 */
export class Admission {
  readonly #room: Room;
  readonly #reserveBytes: number;
  /** Bytes that were promised to uploads under way. What of them is written already counts twice: on the safe side. */
  #promised = 0;

  constructor(room: Room, reserveBytes: number) {
    this.#room = room;
    this.#reserveBytes = reserveBytes;
  }

  /** Promises room for `length` bytes and returns how to give the promise back. @throws ServerError `storage-full` */
  async enter(length: number): Promise<() => void> {
    const room = (await this.#room()) ?? Number.POSITIVE_INFINITY;
    if (room - this.#promised - length < this.#reserveBytes)
      throw new ServerError('storage-full', { retryAfter: 60, detail: 'No room for new packs; restores work' });
    this.#promised += length;
    return () => {
      this.#promised -= length;
    };
  }
}
