import { Cron } from 'croner';
import { AgentError } from '../errors.ts';
import type { Retry, Runs } from './runs.ts';
import type { Schedule } from './schedule.ts';

const MINUTE_MS = 60_000;
/** How long after a failed run the next one comes: short for a line that was just down, then once an hour. */
const BACK_OFF_MINUTES = [5, 15, 30, 60] as const;

/** What is to be done now. */
export interface Due {
  readonly slot: number;
  /** Ids; null: all. */
  readonly mandates: readonly string[] | null;
  /** 1 for the first run of a moment. */
  readonly attempt: number;
}

type When = Pick<Schedule, 'pattern' | 'offset' | 'zone'>;

/** @throws AgentError `usage` for what is no cron pattern of five fields, or never comes */
export function checkPattern(when: When, now: number): void {
  try {
    if (nextSlot(when, now) !== undefined) return;
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error);
    throw badPattern(when.pattern, reason);
  }
  throw badPattern(when.pattern, 'never');
}

function badPattern(pattern: string, reason: string): AgentError {
  return new AgentError('usage', `no schedule: ${pattern}: ${reason}`, {
    key: 'error.schedule-pattern',
    params: { pattern, reason },
  });
}

/**
 * The first moment after `now`. A wall clock time that a change to summer time skips comes when the clock jumps; one that
 * a change to winter time repeats comes once.
 */
export function nextSlot({ pattern, offset, zone }: When, now: number): number | undefined {
  const next = cron(pattern, zone).nextRun(new Date(now - offset * MINUTE_MS));
  return next ? next.getTime() + offset * MINUTE_MS : undefined;
}

/** The newest moment at or before `now`. */
function newestSlot({ pattern, offset, zone }: When, now: number): number | undefined {
  // the reference itself does not count, and its fraction of a second neither
  const [newest] = cron(pattern, zone).previousRuns(1, new Date(now - offset * MINUTE_MS + 1000));
  return newest ? newest.getTime() + offset * MINUTE_MS : undefined;
}

function cron(pattern: string, zone: string): Cron {
  return new Cron(pattern, { timezone: zone, paused: true, mode: '5-part' });
}

/**
 * What a schedule wants at `now`, given what was done: the newest moment that passed, once, however many were slept
 * through; else what a run that failed left, when its back-off is over. Times remembered that lie ahead of what the
 * schedule still holds come from a clock that was wrong, and are not believed: else nothing would run until then.
 */
export function due(schedule: Schedule, runs: Runs, now: number): Due | undefined {
  const next = nextSlot(schedule, now);
  const done = runs.slot !== undefined && (next === undefined || runs.slot <= next) ? runs.slot : undefined;
  const slot = newestSlot(schedule, now);
  const promised = schedule.setAt <= now ? schedule.setAt : Number.NEGATIVE_INFINITY;
  if (slot !== undefined && slot >= promised && (done === undefined || slot > done))
    return { slot, mandates: schedule.mandates, attempt: 1 };
  const { retry } = runs;
  if (!retry || retry.slot !== done || !isOver(retry, now)) return undefined;
  return { slot: retry.slot, mandates: retry.mandates, attempt: retry.attempts + 1 };
}

/** A clock that was put back ends a wait: what it would add was never meant. */
function isOver({ notedAt, notBefore }: Retry, now: number): boolean {
  return now >= notBefore || now < notedAt;
}

/** When the next run for the same moment may come, after `attempts` of them. */
export function retryAt(attempts: number, now: number): number {
  const at = Math.min(Math.max(attempts, 1), BACK_OFF_MINUTES.length) - 1;
  return now + (BACK_OFF_MINUTES[at] ?? 60) * MINUTE_MS;
}

/** The next `count` moments, for showing. */
export function nextSlots(schedule: When, now: number, count: number): number[] {
  const slots: number[] = [];
  for (let at = nextSlot(schedule, now); at !== undefined && slots.length < count; at = nextSlot(schedule, at))
    slots.push(at);
  return slots;
}
