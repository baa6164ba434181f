import {
  ALWAYS_KEPT,
  dayNumber,
  isoWeekOf,
  type MandateRef,
  type Plan,
  type PlanSnapshot,
  type SnapshotId,
  zurichDay,
} from '@cresus-safe/protocol';

const DAY_MS = 86_400_000;

/** Day numbers by time: each costs a call of the calendar, and a history asks for the same ones again and again. */
const days = new Map<number, number>();

/** The day number (days since 1970-01-01) in Swiss time of a moment. */
export function dayOf(time: number): number {
  const known = days.get(time);
  if (known !== undefined) return known;
  const day = dayNumber(zurichDay(time));
  if (days.size > 50_000) days.clear();
  days.set(time, day);
  return day;
}

/** A day number as `yyyy-mm-dd`. */
export function isoDay(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/**
 * The day number from which the plan no longer keeps a snapshot, if none is added or forgotten meanwhile; Infinity while
 * it is one of the last three. `planKeeps` (SPEC 13) told as dates: it keeps a snapshot at a time exactly when the day
 * of that time lies before this one.
 */
export function planEnds(plan: Plan, snapshots: readonly PlanSnapshot[]): Map<SnapshotId, number> {
  const ends = new Map<SnapshotId, number>();
  const mandates = Map.groupBy(snapshots, ({ mandateRef }): MandateRef => mandateRef);
  for (const ofMandate of mandates.values()) endsOfMandate(plan, ofMandate, ends);
  return ends;
}

function endsOfMandate(plan: Plan, snapshots: readonly PlanSnapshot[], ends: Map<SnapshotId, number>): void {
  const newestFirst = snapshots.toSorted((a, b) => b.receivedAt - a.receivedAt || b.seq - a.seq);
  const weeks = new Map<number, number>();
  const months = new Map<number, number>();
  newestFirst.forEach((snapshot, index) => {
    const day = dayOf(snapshot.receivedAt);
    const replacedInWeek = replaced(weeks, isoWeekOf(day), day);
    const replacedInMonth = replaced(months, monthOf(day), day);
    const third = newestFirst[index - ALWAYS_KEPT];
    ends.set(
      snapshot.id,
      Math.max(
        third === undefined ? Number.POSITIVE_INFINITY : dayOf(third.receivedAt),
        day + plan.allDays,
        Math.min(replacedInWeek, day + plan.weeklyDays),
        Math.min(replacedInMonth, day + plan.monthlyDays),
        dayAfter(snapshot.holdUntil),
      ),
    );
  });
}

/** The day of the next newer snapshot of the same week or month, which takes this one's place; Infinity without one. */
function replaced(seen: Map<number, number>, span: number, day: number): number {
  const newer = seen.get(span) ?? Number.POSITIVE_INFINITY;
  seen.set(span, day);
  return newer;
}

function monthOf(day: number): number {
  const date = new Date(day * DAY_MS);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

function dayAfter(holdUntil: number): number {
  if (holdUntil === 0) return Number.NEGATIVE_INFINITY;
  const held = { year: Math.floor(holdUntil / 10_000), month: Math.floor(holdUntil / 100) % 100, day: holdUntil % 100 };
  return dayNumber(held) + 1;
}
