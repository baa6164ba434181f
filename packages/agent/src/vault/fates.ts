import {
  ALWAYS_KEPT,
  asSnapshotId,
  DEFAULT_PLAN,
  LOCK_DAYS,
  type MandateRef,
  type Plan,
  type PlanSnapshot,
  type SnapshotId,
} from '@cresus-safe/protocol';
import type { Step } from './history-state.ts';
import { dayOf, planEnds } from './plan-days.ts';

const DAY_MS = 86_400_000;

/** What the history lets a server do with a snapshot by a moment. Days are day numbers (days since 1970-01-01, Swiss time). */
export type Fate =
  /** The server must give it. `goesOn`: when the plan lets it go if nothing else changes; Infinity: not as long as it is one of the last three. */
  | { readonly state: 'live'; readonly goesOn: number }
  /** The server must give it until `lockedUntil` (ms): `snapshot-unforget` takes it back. Undefined: one of the last three, which stay. */
  | { readonly state: 'forgotten'; readonly lockedUntil: number | undefined }
  /** Let go by whom, and since which day: the server may have deleted it. */
  | { readonly state: 'freed'; readonly freedOn: number; readonly by: 'forget' | 'plan' };

/**
 * Follows the history of one mandate and tells what became of each of its snapshots by `now` (ms). Server and agent run
 * the same plan on the same receipts (SPEC 13); but what the plan let go at one time does not come back because a newer
 * snapshot was forgotten, or the plan extended, later: so each change is judged by the plan and the snapshots of its time.
 *
 * @param lockDays how long the server promised to keep what was forgotten
 */
export function fatesOf(
  steps: readonly Step[],
  ref: MandateRef,
  now: number,
  lockDays: number = LOCK_DAYS,
): Map<SnapshotId, Fate> {
  const mandate = new MandateLife();
  for (const step of steps) {
    if (step.attached?.type === 'plan') mandate.replan(step.attached.plan, step.receipt.time);
    else if (step.entry.mandateRef === ref) mandate.apply(step);
  }
  return mandate.fates(now, lockDays * DAY_MS);
}

interface Forgotten {
  readonly snapshot: PlanSnapshot;
  readonly at: number;
}

/** One mandate while its history is followed. */
class MandateLife {
  readonly #live = new Map<SnapshotId, PlanSnapshot>();
  readonly #forgotten = new Map<SnapshotId, Forgotten>();
  readonly #freed = new Map<SnapshotId, { readonly snapshot: PlanSnapshot; readonly on: number }>();
  /** Every snapshot ever added, oldest first. */
  readonly #added: SnapshotId[] = [];
  #plan: Plan = DEFAULT_PLAN;
  /** Since when the live set only grew under one plan. */
  #since = Number.NEGATIVE_INFINITY;

  replan(plan: Plan, time: number): void {
    this.#settle(time);
    this.#plan = plan;
  }

  apply({ entry, receipt }: Step): void {
    const id = asSnapshotId(entry.subject);
    const { time } = receipt;
    if (entry.kind === 'snapshot-add') {
      if (this.#find(id) !== undefined) return; // a snapshot does not come back by being added again (MS-20)
      const { mandateRef, seq } = entry;
      this.#live.set(id, { id, mandateRef, seq, receivedAt: time, holdUntil: 0 });
      this.#added.push(id);
      return;
    }
    const snapshot = this.#find(id);
    if (snapshot === undefined) return;
    if (entry.kind === 'snapshot-forget') this.#forget(snapshot, time);
    // by taking these the server says that it still has the snapshot, and promises to keep it
    if (entry.kind === 'snapshot-unforget') this.#revive(snapshot, time);
    if (entry.kind === 'year-closed') this.#hold(snapshot, entry.holdUntil, time);
  }

  #hold(known: PlanSnapshot, holdUntil: number, time: number): void {
    const snapshot = { ...known, holdUntil: Math.max(known.holdUntil, holdUntil) };
    const forgotten = this.#forgotten.get(known.id);
    if (forgotten === undefined) this.#revive(snapshot, time);
    else this.#forgotten.set(known.id, { ...forgotten, snapshot });
  }

  #find(id: SnapshotId): PlanSnapshot | undefined {
    return this.#live.get(id) ?? this.#forgotten.get(id)?.snapshot ?? this.#freed.get(id)?.snapshot;
  }

  #forget(snapshot: PlanSnapshot, at: number): void {
    this.#settle(at);
    if (this.#live.delete(snapshot.id)) this.#forgotten.set(snapshot.id, { snapshot, at });
  }

  #revive(snapshot: PlanSnapshot, time: number): void {
    this.#settle(time);
    this.#forgotten.delete(snapshot.id);
    this.#freed.delete(snapshot.id);
    this.#live.set(snapshot.id, snapshot);
  }

  /** What the plan has let go by `time`. Adding lets others go but brings none back, so this need not run at each. */
  #settle(time: number): Map<SnapshotId, number> {
    const today = dayOf(time);
    const ends = planEnds(this.#plan, [...this.#live.values()]);
    const since = Number.isFinite(this.#since) ? dayOf(this.#since) : this.#since;
    for (const [id, end] of ends) {
      if (end > today) continue;
      const snapshot = this.#live.get(id) as PlanSnapshot;
      this.#freed.set(id, { snapshot, on: Math.max(end, since) });
      this.#live.delete(id);
    }
    this.#since = time;
    return ends;
  }

  fates(now: number, lockMs: number): Map<SnapshotId, Fate> {
    const ends = this.#settle(now);
    const staying = new Set(this.#added.slice(-ALWAYS_KEPT)); // forgotten or not, the newest stay whatever happens
    const fates = new Map<SnapshotId, Fate>();
    for (const id of this.#live.keys())
      fates.set(id, { state: 'live', goesOn: ends.get(id) ?? Number.POSITIVE_INFINITY });
    for (const [id, { on }] of this.#freed) fates.set(id, { state: 'freed', freedOn: on, by: 'plan' });
    for (const [id, { snapshot, at }] of this.#forgotten) {
      const lockedUntil = Math.max(snapshot.receivedAt, at) + lockMs;
      if (staying.has(id)) fates.set(id, { state: 'forgotten', lockedUntil: undefined });
      else if (now <= lockedUntil) fates.set(id, { state: 'forgotten', lockedUntil });
      else fates.set(id, { state: 'freed', freedOn: dayOf(lockedUntil), by: 'forget' });
    }
    return fates;
  }
}
