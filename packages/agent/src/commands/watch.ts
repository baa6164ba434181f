import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentError } from '../errors.ts';
import { prepareHome } from '../local/home.ts';
import { takeLock } from '../local/lock.ts';
import { getMandate, loadMandates, type Mandate } from '../mandate/mandates.ts';
import { findOpenIn } from '../open-modules/open-modules.ts';
import type { Outcome } from '../render/output.ts';
import { lookAtBooks } from '../watch/books-state.ts';
import { Watcher } from '../watch/watcher.ts';
import { automaticPoint } from './automatic-point.ts';
import type { Context } from './context.ts';
import { tellEvent } from './watch-report.ts';

export interface WatchArgs {
  readonly names: readonly string[];
  /** Seconds of quiet before a point, as typed. */
  readonly delay: string | undefined;
}

const DEFAULT_DELAY_S = 15;
const MOST_DELAY_S = 3600;
const LOOK_MS = 2000;
const SHORTEST_LOOK_MS = 250;

/**
 * Watches mandates until Ctrl-C or SIGTERM, which are its ordinary end (exit code 0), and makes a point when work in one
 * has ended. One watch a home; the lock of the home is held only while a point is made.
 * @throws AgentError `usage`, `not-found`, `another-run` while another watch runs
 */
export async function watch(context: Context, { names, delay }: WatchArgs): Promise<Outcome> {
  const { home, signal, now, texts } = context;
  const quietMs = delayOf(delay) * 1000;
  for (const name of names) getMandate(loadMandates(home), name);
  prepareHome(home);
  using _one = takeLock(join(home.dir, 'watch.lock'));
  const mandates = mandatesOf(context, names);
  tellEvent(context, { event: 'started', mandates: mandates().map(({ name }) => name) });
  const watcher = new Watcher({
    mandates,
    look: lookAtBooks,
    findOpen: findOpenIn,
    makePoint: (mandate) => automaticPoint(context, mandate, 'watch'),
    emit: (event) => tellEvent(context, event),
    quietMs,
    lookMs: Math.max(SHORTEST_LOOK_MS, Math.min(LOOK_MS, quietMs / 4)),
    now,
    pause: (ms) => pause(ms, undefined, { signal }),
  });
  try {
    return await watcher.run();
  } catch (error) {
    if (!signal.aborted) throw error;
    return { json: { event: 'stopped', at: now() }, lines: [texts('watch.stopped')] };
  }
}

function delayOf(text: string | undefined): number {
  const seconds = text === undefined ? DEFAULT_DELAY_S : /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= MOST_DELAY_S) return seconds;
  throw new AgentError('usage', 'no number of seconds', { key: 'error.delay-seconds' });
}

/** The mandates as they are now: what is added, renamed or removed meanwhile is followed. The file is read when it changed. */
function mandatesOf({ home }: Context, names: readonly string[]): () => readonly Mandate[] {
  const chosen = new Set(names.map((name) => getMandate(loadMandates(home), name).mandateId));
  let stamp = '';
  let list: readonly Mandate[] = [];
  return () => {
    const stat = statSync(home.mandates, { bigint: true, throwIfNoEntry: false });
    const now = stat ? `${stat.ino} ${stat.size} ${stat.mtimeNs}` : 'none';
    if (now !== stamp) list = loadMandates(home).filter(({ mandateId }) => names.length === 0 || chosen.has(mandateId));
    stamp = now;
    return list;
  };
}
