import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import type { MandateRef, SnapshotId } from '../ids.ts';
import { dateNumber, dayNumber, isoWeekOf, zurichDay } from './dates.ts';

/** How long snapshots are kept (SPEC 13), in days. */
export interface Plan {
  readonly allDays: number;
  readonly weeklyDays: number;
  readonly monthlyDays: number;
}

export const DEFAULT_PLAN: Plan = { allDays: 30, weeklyDays: 365, monthlyDays: 3650 };
/** The newest snapshots of a mandate that no plan lets go. */
export const ALWAYS_KEPT = 3;
/** How far ahead a hold may reach: a mistyped year must not bind for ever (SPEC 6). */
export const MAX_HOLD_YEARS = 12;
/** How long a forgotten snapshot can be taken back, days (SPEC 13); a server may promise another time. */
export const LOCK_DAYS = 30;

/** Whether `next` keeps anything for less time: that needs an elevation. */
export function isShorterPlan(next: Plan, current: Plan): boolean {
  return (
    next.allDays < current.allDays || next.weeklyDays < current.weeklyDays || next.monthlyDays < current.monthlyDays
  );
}

export function encodePlan(plan: Plan): Uint8Array {
  return new Writer(20).magic('CSPL').zero(3).u32(plan.allDays).u32(plan.weeklyDays).u32(plan.monthlyDays).finish();
}

/** Parses strictly; throws `format` or `version`. */
export function parsePlan(bytes: Uint8Array): Plan {
  const reader = new Reader(bytes, 'plan');
  reader.magic('CSPL');
  reader.zero(3, 'reserved bytes');
  const plan = {
    allDays: reader.u32('allDays'),
    weeklyDays: reader.u32('weeklyDays'),
    monthlyDays: reader.u32('monthlyDays'),
  };
  reader.end();
  return plan;
}

/** A live snapshot as the plan sees it. */
export interface PlanSnapshot {
  readonly id: SnapshotId;
  readonly mandateRef: MandateRef;
  readonly seq: number;
  /** `time` of its receipt, ms since 1970: never a client's clock. */
  readonly receivedAt: number;
  /** yyyymmdd, or 0; the day itself is still held. */
  readonly holdUntil: number;
}

/**
 * The snapshots that the plan keeps at a time. Server and agent run this same function on the same receipts, so that an
 * agent knows which snapshots a server may have let go (SPEC 13).
 *
 * @param now ms since 1970
 */
export function planKeeps(plan: Plan, snapshots: readonly PlanSnapshot[], now: number): Set<SnapshotId> {
  const kept = new Set<SnapshotId>();
  const mandates = Map.groupBy(snapshots, ({ mandateRef }) => mandateRef);
  for (const ofMandate of mandates.values()) keepOfMandate(plan, ofMandate, now, kept);
  return kept;
}

function keepOfMandate(plan: Plan, snapshots: readonly PlanSnapshot[], now: number, kept: Set<SnapshotId>): void {
  const newestFirst = snapshots.toSorted((a, b) => b.receivedAt - a.receivedAt || b.seq - a.seq);
  const today = zurichDay(now);
  const weeks = new Set<number>();
  const months = new Set<number>();
  newestFirst.forEach((snapshot, index) => {
    const received = zurichDay(snapshot.receivedAt);
    const day = dayNumber(received);
    const age = dayNumber(today) - day;
    const newestOfWeek = age < plan.weeklyDays && isNew(weeks, isoWeekOf(day));
    const newestOfMonth = age < plan.monthlyDays && isNew(months, received.year * 12 + received.month);
    const held = snapshot.holdUntil >= dateNumber(today);
    if (index < ALWAYS_KEPT || age < plan.allDays || newestOfWeek || newestOfMonth || held) kept.add(snapshot.id);
  });
}

function isNew(seen: Set<number>, value: number): boolean {
  if (seen.has(value)) return false;
  seen.add(value);
  return true;
}
