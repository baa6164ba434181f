import { dayNumber, isoWeekOf, type SnapshotId, zurichDay } from '@cresus-safe/protocol';
import type { PointsPlan } from './settings.ts';
import type { PointInfo } from './store.ts';

/** Why a point is kept. */
export type KeepReason =
  /** The newest of its mandate: never removed. */
  | 'last'
  /** Younger than `allDays`, or from the future of a clock that was set back. */
  | 'recent'
  /** The newest of its day. */
  | 'daily'
  /** The newest of its week. */
  | 'weekly'
  /** The state before the last restore, which `restore --undo` may want back. */
  | 'undo'
  /** Everything older than a few days would go at once: the clock may be wrong. */
  | 'gap';

/** Nothing for so long, and then a few days of points: rather a clock that leapt than a mandate that rested. */
const CLOCK_LEAP_DAYS = 400;

export interface PlannedPoint {
  readonly point: PointInfo;
  /** Undefined: the plan lets it go. */
  readonly keptAs: KeepReason | undefined;
}

/**
 * What the plan keeps of the points of any mandates, and why; everything else goes. Days are calendar days in Switzerland,
 * so that neither summer time nor a leap day moves a border. Pure.
 * @param now ms since 1970
 * @returns in the order given
 */
export function planPoints(points: readonly PointInfo[], plan: PointsPlan, now: number): PlannedPoint[] {
  const kept = new Map<SnapshotId, KeepReason>();
  for (const ofMandate of Map.groupBy(points, ({ mandateId }) => mandateId).values()) keep(ofMandate, plan, now, kept);
  return points.map((point) => ({ point, keptAs: kept.get(point.id) }));
}

function keep(points: readonly PointInfo[], plan: PointsPlan, now: number, kept: Map<SnapshotId, KeepReason>): void {
  // by the order in which they were made: a clock may have run backwards between them
  const newestFirst = points.toSorted((a, b) => b.seq - a.seq);
  const today = dayNumber(zurichDay(now));
  const daily = plan.allDays + plan.dailyDays;
  const horizon = daily + plan.weeklyDays;
  const aged = newestFirst.map((point) => ({ point, day: dayNumber(zurichDay(point.createdAt)) }));
  const leap = Math.max(horizon, CLOCK_LEAP_DAYS);
  const isWholeGap = aged.every(({ day }) => today - day <= plan.allDays || today - day > leap);
  const undo = newestFirst.find(({ reason }) => reason === 'restore');
  const [days, weeks] = [new Set<number>(), new Set<number>()];
  const reasons = aged.map(({ point, day }): KeepReason | undefined => {
    const age = today - day;
    if (age <= plan.allDays) return 'recent';
    if (age <= daily) return isNew(days, day) ? 'daily' : undoing(point, undo);
    if (age <= horizon) return isNew(weeks, isoWeekOf(day)) ? 'weekly' : undefined;
    return isWholeGap ? 'gap' : undefined;
  });
  newestFirst.forEach(({ id }, index) => {
    // the last one is also the newest of its day and of its week
    const reason = index === 0 ? 'last' : reasons[index];
    if (reason !== undefined) kept.set(id, reason);
  });
}

function undoing(point: PointInfo, undo: PointInfo | undefined): KeepReason | undefined {
  return point === undo ? 'undo' : undefined;
}

function isNew(seen: Set<number>, value: number): boolean {
  if (seen.has(value)) return false;
  seen.add(value);
  return true;
}
