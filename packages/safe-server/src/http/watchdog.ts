import { ServerError } from '../errors.ts';

/** How slow a transfer may be before it is given up. */
export interface Pace {
  /** Length of the sliding window, seconds; nothing arriving for so long is a stall. */
  readonly windowSeconds: number;
  /** Bytes per second that each window must reach. */
  readonly minBytesPerSecond: number;
}

/**
 * Watches a transfer: `progress` returns the bytes moved so far, or undefined while *we* hold it up (then the window
 * starts anew). There is no limit on the whole duration, so a 16 MiB pack over 56 kbit/s succeeds; what a slowloris
 * does, a byte now and then, does not (TN-12, TN-13, F-39).
 *
 * `expired` rejects with `timeout`; call `stop` when the transfer is over.
 */
export function watchPace(
  progress: () => number | undefined,
  pace: Pace,
): { expired: Promise<never>; stop: () => void } {
  const { promise: expired, reject } = Promise.withResolvers<never>();
  expired.catch(() => undefined); // a transfer that ended first never looks at it
  const floor = pace.windowSeconds * pace.minBytesPerSecond;
  let windowStart = performance.now();
  let bytesAtStart = progress() ?? 0;
  const timer = setInterval(
    () => {
      const bytes = progress();
      const elapsed = performance.now() - windowStart;
      if (bytes !== undefined && elapsed < pace.windowSeconds * 1000) return;
      if (bytes !== undefined && bytes - bytesAtStart < floor) {
        clearInterval(timer);
        reject(new ServerError('timeout'));
        return;
      }
      windowStart = performance.now();
      bytesAtStart = bytes ?? bytesAtStart;
    },
    Math.min(1000, (pace.windowSeconds * 1000) / 4),
  );
  timer.unref();
  return { expired, stop: () => clearInterval(timer) };
}
