import { setTimeout as pause } from 'node:timers/promises';
import type { Mandate } from '../mandate/mandates.ts';
import { findOpenModules, moduleOpen, type OpenModule } from '../open-modules/open-modules.ts';
import type { OpenProbe } from '../open-modules/probe.ts';

export interface WaitOptions {
  /** How long at most, in ms. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** Told once, when there is something to wait for. */
  readonly onWait: (open: readonly OpenModule[]) => void;
  /** Tests give their own. */
  readonly probe?: OpenProbe | undefined;
}

const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 5000;
/** A launcher ends while the program that it started still opens its files. */
const LOOKS_CLOSED = 2;

/**
 * Waits until nobody has a module of the mandate open any more, as the programs do that the ended one started.
 * @throws AgentError `module-open` when that takes longer than `limitMs`; the reason of `signal`
 */
export async function waitUntilClosed(mandate: Mandate, options: WaitOptions): Promise<void> {
  const { limitMs, signal, onWait, probe } = options;
  let left = limitMs;
  let pauseMs = FIRST_PAUSE_MS;
  let told = false;
  for (let closed = 0; ; ) {
    const { open } = await findOpenModules(mandate, probe);
    closed = open.length === 0 ? closed + 1 : 0;
    if (closed === LOOKS_CLOSED) return;
    if (open.length > 0) {
      // counted in looks, not by the clock: a computer that slept did not wait
      if (left <= 0) throw moduleOpen(mandate, open);
      if (!told) onWait(open);
      told = true;
    }
    const ms = closed > 0 ? FIRST_PAUSE_MS : Math.min(pauseMs, left);
    await pause(ms, undefined, { signal });
    if (closed === 0) {
      left -= ms;
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }
}
