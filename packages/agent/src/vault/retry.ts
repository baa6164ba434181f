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
      const wait = delayAfter(error, tries, patience.now() - start, patience);
      if (wait === undefined) throw settled(error);
      await patience.sleep(wait, signal);
    }
  }
}

/**
 * The one back-off policy, of both clients.
 * @param tries how many have failed, this one included
 * @param spentMs since the first one began
 * @returns how long to wait before the next try, ms; undefined when it would not help or patience ended
 */
export function delayAfter(error: unknown, tries: number, spentMs: number, patience: Patience): number | undefined {
  const wait = waitAfter(error, tries, patience);
  if (wait === undefined || spentMs + wait > patience.totalMs || gaveUp(error, tries, patience)) return undefined;
  return wait;
}

/** The error of who gave up: a connection that was lost, or a server that was busy, is `unreachable` now. */
export function settled(error: unknown): unknown {
  return error instanceof ConnectionLost || error instanceof Busy ? unreachable(error) : error;
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

function unreachable(error: ConnectionLost | Busy): AgentError {
  const reason = error instanceof ConnectionLost ? error.code : error.message;
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
