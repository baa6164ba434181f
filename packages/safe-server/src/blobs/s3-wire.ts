import { setTimeout as timer } from 'node:timers';
import { ServerError } from '../errors.ts';

/** An answer of the store that cannot be right although its status says so (F-30). */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer';
}

interface StoreError extends Error {
  readonly $metadata?: {
    readonly httpStatusCode?: number;
    readonly requestId?: string;
    readonly clockSkewCorrected?: boolean;
  };
}

/** The HTTP status that the store answered; undefined when nothing or nonsense came. */
export function statusOf(error: unknown): number | undefined {
  return (error as StoreError | undefined)?.$metadata?.httpStatusCode;
}

/** No such object; a bucket that is missing is another matter. */
export function isMissing(error: unknown): boolean {
  return statusOf(error) === 404 && (error as StoreError).name !== 'NoSuchBucket';
}

/** Whether the same request may well succeed in a moment. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ServerError) return false;
  const { name, $metadata } = error as StoreError;
  if ($metadata?.clockSkewCorrected === true) return true; // the SDK has learned the store's time and signs with it
  if (['RequestTimeTooSkewed', 'RequestTimeout', 'XAmzContentSHA256Mismatch', 'BadDigest'].includes(name)) return true;
  if (name === 'CredentialsProviderError') return false;
  const status = $metadata?.httpStatusCode;
  return status === undefined || status < 400 || status >= 500 || [408, 409, 429].includes(status);
}

/**
 * A failure of the store as the server tells it: to be tried again later, without a word of what the store said; that is
 * in the log, as `cause`. Nothing of the request is in it.
 */
export function asServerError(error: unknown): ServerError {
  if (error instanceof ServerError) return error;
  const { name, message, $metadata } = error as StoreError;
  const status = $metadata?.httpStatusCode;
  const isFull = ['QuotaExceeded', 'InsufficientCapacity', 'XMinioStorageFull'].includes(name) || status === 507;
  const facts = [name, status, $metadata?.requestId, message === 'UnknownError' ? undefined : message];
  const cause = new Error(`S3: ${facts.filter(Boolean).join(' ')}`);
  if (isFull) return new ServerError('storage-full', { retryAfter: 60 }, { cause });
  return new ServerError('store-unavailable', { retryAfter: 5 }, { cause });
}

/**
 * Whose turn it is: the store has `ms` for each step, be it to take the next piece or to answer; how long *we* take, for
 * instance because a client sends slowly, does not count.
 */
export class Turns {
  readonly #abort = new AbortController();
  readonly #ms: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  /** Aborts what the store is too slow with. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  theirs(): void {
    this.ours();
    this.#timer = timer(() => this.#abort.abort(new Error('the store is too slow')), this.#ms);
  }

  ours(): void {
    clearTimeout(this.#timer);
  }

  /** Ends the watch and whatever is still under way. */
  end(): void {
    this.ours();
    this.#abort.abort();
  }
}
