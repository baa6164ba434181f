import { AgentError, toAgentError } from '../errors.ts';

export interface Waiting {
  /** Which failures are waited out. */
  readonly kinds: ReadonlySet<string>;
  /** How long in all, ms. */
  readonly totalMs: number;
  readonly firstMs: number;
  readonly longestMs: number;
  /** Monotonic ms. */
  readonly now?: () => number;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Told before each wait. */
  readonly waits?: (error: AgentError, ms: number) => void;
}

/**
 * Runs `act` again while it fails in a way that time may heal (no network yet after waking, another run at work), with
 * doubling waits, until `totalMs` are over.
 * @throws the last failure, or AgentError `interrupted`
 */
export async function patiently<T>(act: () => Promise<T>, signal: AbortSignal, waiting: Waiting): Promise<T> {
  const { kinds, totalMs, firstMs, longestMs, now = () => performance.now(), sleep = pause, waits } = waiting;
  const start = now();
  for (let ms = firstMs; ; ms = Math.min(ms * 2, longestMs)) {
    try {
      return await act();
    } catch (error) {
      const typed = toAgentError(error);
      const left = totalMs - (now() - start);
      if (!kinds.has(typed.kind) || left <= 0 || signal.aborted) throw error;
      waits?.(typed, Math.min(ms, left));
      await sleep(Math.min(ms, left), signal);
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new AgentError('interrupted', 'interrupted'));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}
