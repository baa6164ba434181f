import { setTimeout as sleep } from 'node:timers/promises';

/** How often and how long something is tried. */
export interface RetryTerms {
  readonly attempts: number;
  /** No attempt begins later than this after the first one, ms. */
  readonly deadlineMs: number;
  /** The first pause lasts up to this, each one after it up to twice as long, ms. */
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * Runs `work` until it succeeds, fails in a way that `isWorth` does not find worth another try, or the terms are used up.
 * Pauses grow exponentially with full jitter (Brooker, "Exponential Backoff And Jitter"), so that many servers that met
 * the same failure do not come back at the same moment.
 *
 * @param work is told which attempt it is, from 1
 * @throws what the last attempt threw
 */
export async function withRetries<T>(
  work: (attempt: number) => Promise<T>,
  isWorth: (error: unknown) => boolean,
  terms: RetryTerms,
): Promise<T> {
  const end = performance.now() + terms.deadlineMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      const pause = Math.random() * Math.min(terms.maxMs, terms.baseMs * 2 ** (attempt - 1));
      if (attempt >= terms.attempts || performance.now() + pause > end || !isWorth(error)) throw error;
      await sleep(pause);
    }
  }
}
