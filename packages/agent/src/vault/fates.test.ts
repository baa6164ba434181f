import {
  asMandateRef,
  asSnapshotId,
  DEFAULT_PLAN,
  type Plan,
  type PlanSnapshot,
  planKeeps,
  type SnapshotId,
} from '@cresus-safe/protocol';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Fate, fatesOf } from './fates.ts';
import type { Step } from './history-state.ts';
import { dayOf, isoDay, planEnds } from './plan-days.ts';

const DAY = 86_400_000;
const START = Date.UTC(2025, 0, 6, 12); // a Monday
const REF = asMandateRef('1'.repeat(32));
const id = (n: number): SnapshotId => asSnapshotId(n.toString(16).padStart(64, '0'));

/** A history of one mandate, told in days after START. */
class Story {
  readonly steps: Step[] = [];

  add(n: number, day: number): this {
    return this.#step('snapshot-add', n, day);
  }

  forget(n: number, day: number): this {
    return this.#step('snapshot-forget', n, day);
  }

  unforget(n: number, day: number): this {
    return this.#step('snapshot-unforget', n, day);
  }

  close(n: number, day: number, holdUntil: number): this {
    return this.#step('year-closed', n, day, { holdUntil });
  }

  plan(plan: Partial<Plan>, day: number): this {
    return this.#step('plan', 0, day, {}, { type: 'plan', plan: { ...DEFAULT_PLAN, ...plan } });
  }

  /** Each snapshot's fate at a day. */
  at(day: number, lockDays = 30): Fate[] {
    const fates = fatesOf(this.steps, REF, START + day * DAY, lockDays);
    return [...fates].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, fate]) => fate);
  }

  states(day: number): string {
    return this.at(day)
      .map(({ state }) => state[0])
      .join('');
  }

  #step(kind: string, n: number, day: number, fields: object = {}, attached?: object): this {
    const seq = this.steps.length + 1;
    const entry = { kind, seq, mandateRef: REF, subject: id(n), holdUntil: 0, ...fields };
    this.steps.push({ entry, attached, receipt: { time: START + day * DAY } } as unknown as Step);
    return this;
  }
}

const ten = (): Story => Array.from({ length: 10 }).reduce<Story>((story, _, day) => story.add(day, day), new Story());

describe('planEnds', () => {
  test('says of each snapshot exactly the day on which planKeeps lets it go', () => {
    const plan = fc.record({ allDays: fc.nat(40), weeklyDays: fc.nat(400), monthlyDays: fc.nat(4000) });
    const list = fc.array(fc.record({ hours: fc.nat(24 * 900), hold: fc.constantFrom(0, 0, 20260331, 20271231) }), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(plan, list, fc.nat(2000), (some, times, later) => {
        const snapshots: PlanSnapshot[] = times.map(({ hours, hold }, n) => {
          return { id: id(n), mandateRef: REF, seq: n + 2, receivedAt: START + hours * 3_600_000, holdUntil: hold };
        });
        const now = Math.max(START, ...snapshots.map(({ receivedAt }) => receivedAt)) + later * DAY;
        const kept = planKeeps(some, snapshots, now);
        const ends = planEnds(some, snapshots);
        for (const snapshot of snapshots) expect(dayOf(now) < (ends.get(snapshot.id) ?? 0)).toBe(kept.has(snapshot.id));
      }),
      { numRuns: 300 },
    );
  });
});

describe('fates', () => {
  test('a forgotten snapshot must be given until the lock ends; the last three stay', () => {
    const story = ten().forget(2, 10).forget(8, 10);
    expect(story.at(39.9)[2]).toEqual({ state: 'forgotten', lockedUntil: START + 40 * DAY });
    expect(story.at(40.1)[2]).toEqual({ state: 'freed', freedOn: dayOf(START + 40 * DAY), by: 'forget' });
    expect(story.at(400)[8]).toEqual({ state: 'forgotten', lockedUntil: undefined });
    expect(story.at(20, 5)[2]?.state).toBe('freed');
  });

  test('MS-19: the plan lets go by its days, and says when', () => {
    expect(ten().states(29)).toBe('llllllllll');
    expect(ten().states(36)).toBe('ffffffllll');
    expect(ten().at(36)[0]).toEqual({ state: 'freed', freedOn: dayOf(START + 30 * DAY), by: 'plan' });
    expect(isoDay(dayOf(START + 30 * DAY))).toBe('2025-02-05');
  });

  test('what was let go does not come back: not by forgetting what took its place, not by a longer plan', () => {
    const story = ten().forget(6, 40).plan({ allDays: 300 }, 41);
    // 6 is forgotten, 0 to 5 went before: the newest of its week is gone with them
    expect(story.at(42).map(({ state }) => state)).toEqual([
      ...Array.from({ length: 6 }, () => 'freed'),
      'forgotten',
      ...Array.from({ length: 3 }, () => 'live'),
    ]);
    // forgotten before the others went, it leaves its place to the one before it
    expect(ten().forget(6, 20).at(36)[5]?.state).toBe('live');
  });

  test('a shorter plan lets go from the day on which it came, a longer one in time keeps', () => {
    expect(ten().plan({ allDays: 3 }, 12).at(12)[0]).toMatchObject({
      state: 'freed',
      freedOn: dayOf(START + 12 * DAY),
    });
    expect(ten().plan({ allDays: 60 }, 12).states(36)).toBe('llllllllll');
  });

  test('a closed year is kept until its day, whatever the plan says', () => {
    const story = ten().close(0, 10, 20351231);
    expect(story.states(36)).toBe('lfffffllll');
    expect(story.at(3000)[0]?.state).toBe('live');
    expect(story.at(4100)[0]?.state).toBe('freed');
  });

  test('MS-20: unforgetting brings back, adding again does not', () => {
    expect(ten().forget(2, 10).unforget(2, 12).states(13)).toBe('llllllllll');
    expect(ten().forget(2, 10).add(2, 12).at(13)[2]?.state).toBe('forgotten');
  });

  test('ten years of days are followed within a second', () => {
    const story = Array.from({ length: 3650 }).reduce<Story>((so, _, day) => so.add(day, day), new Story());
    const began = performance.now();
    expect(story.at(3651).filter(({ state }) => state === 'live').length).toBeLessThan(220);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});
