import { AgentError } from '../errors.ts';
import { ConnectionLost } from './http-failure.ts';

/** The server asks to come back later (503, 429): `afterMs` is its own wish, capped by ours. */
export class Busy extends Error {
  override readonly name = 'Busy';
  readonly afterMs: number | undefined;
  constructor(afterMs: number | undefined, message: string) {
    super(message);
    this.afterMs = afterMs;
  }
}

export interface Patience {
  /** How long trying again may take in all, ms. */
  readonly totalMs: number;
  /** Tries while no connection was ever made: a server that is not there is told at once, not after minutes. */
  readonly connects: number;
  readonly baseMs: number;
  readonly random: () => number;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly now: () => number;
}

export const PATIENCE: Patience = {
  totalMs: 120_000,
  connects: 3,
  baseMs: 250,
  random: Math.random,
  sleep,
  now: () => performance.now(), // monotonic: a laptop that slept, or a clock that was set, ends no patience (F-41, F-42)
};

const LONGEST_MS = 20_000;

/**
 * Runs `attempt` until it succeeds, fails for good, or patience ends: exponential back-off with full jitter
 * (so that many agents do not come back in step), the server's Retry-After honoured within limits of our own.
 * @throws AgentError `unreachable` when patience ended
 */
export async function retrying<T>(
  attempt: (tries: number) => Promise<T>,
  patience: Patience,
  signal?: AbortSignal,
): Promise<T> {
  const start = patience.now();
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt(tries);
    } catch (error) {
      const wait = waitAfter(error, tries, patience);
      if (wait === undefined) throw error;
      const spent = patience.now() - start + wait;
      if (spent > patience.totalMs || gaveUp(error, tries, patience)) throw unreachable(error);
      await patience.sleep(wait, signal);
    }
  }
}

function waitAfter(error: unknown, tries: number, patience: Patience): number | undefined {
  if (!(error instanceof ConnectionLost || error instanceof Busy)) return undefined;
  const backoff = Math.min(LONGEST_MS, patience.baseMs * 2 ** (tries - 1)) * (0.5 + patience.random() / 2);
  if (error instanceof Busy && error.afterMs !== undefined)
    return Math.max(backoff, Math.min(error.afterMs, LONGEST_MS));
  return backoff;
}

function gaveUp(error: unknown, tries: number, patience: Patience): boolean {
  return error instanceof ConnectionLost && !error.connected && tries >= patience.connects;
}

function unreachable(error: unknown): AgentError {
  const reason = error instanceof ConnectionLost ? error.code : error instanceof Error ? error.message : String(error);
  return new AgentError('unreachable', `the server does not answer: ${reason}`, { params: { reason } });
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new AgentError('interrupted', 'interrupted'));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
