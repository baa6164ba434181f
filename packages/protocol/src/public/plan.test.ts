import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { asMandateRef, asSnapshotId } from '../ids.ts';
import { dayNumber, holdUntilFor, isDateNumber, isoWeekOf, zurichDay } from './dates.ts';
import { DEFAULT_PLAN, encodePlan, type PlanSnapshot, parsePlan, planKeeps } from './plan.ts';

const REF = asMandateRef('1'.repeat(32));
const OTHER = asMandateRef('2'.repeat(32));
const id = (n: number) => asSnapshotId(n.toString(16).padStart(64, '0'));
const at = (iso: string): number => Date.parse(iso);

/** Snapshots numbered in the order of the times given, oldest first. */
const snapshots = (times: readonly string[], more: Partial<PlanSnapshot> = {}): PlanSnapshot[] =>
  times.map((time, index) => ({
    id: id(index),
    mandateRef: REF,
    seq: index + 2,
    receivedAt: at(time),
    holdUntil: 0,
    ...more,
  }));

const kept = (list: readonly PlanSnapshot[], now: string, plan = DEFAULT_PLAN): number[] => {
  const keeps = planKeeps(plan, list, at(now));
  return list.flatMap((one, index) => (keeps.has(one.id) ? [index] : []));
};

// three young snapshots, so that "always the last three" hides nothing in a table
const YOUNG = ['2026-11-24T08:00:00Z', '2026-11-24T09:00:00Z', '2026-11-24T10:00:00Z'];
const NOW = '2026-11-24T12:00:00Z';
const keptOld = (times: readonly string[]): number[] =>
  kept(snapshots([...times, ...YOUNG]), NOW).filter((index) => index < times.length);

describe('planKeeps with the default plan', () => {
  test.each([
    ['nothing', [], []],
    ['29 days old: all', ['2026-10-26T08:00:00Z', '2026-10-26T09:00:00Z'], [0, 1]],
    ['30 days old: the newest of the week', ['2026-10-25T08:00:00Z', '2026-10-25T09:00:00Z'], [1]],
    ['one ISO week, Monday to Sunday', ['2026-09-07T08:00:00Z', '2026-09-10T08:00:00Z', '2026-09-13T08:00:00Z'], [2]],
    [
      'the newest of a month counts even when its week has a newer one',
      ['2026-08-31T08:00:00Z', '2026-09-06T08:00:00Z'],
      [0, 1],
    ],
    ['Sunday and the Monday after', ['2026-09-06T08:00:00Z', '2026-09-07T08:00:00Z'], [0, 1]],
    ['a week across New Year, dated 2025 and 2026', ['2025-12-30T08:00:00Z', '2026-01-02T08:00:00Z'], [0, 1]],
    ['364 days old: weekly', ['2025-11-25T08:00:00Z', '2025-11-30T08:00:00Z', '2025-12-01T08:00:00Z'], [1, 2]],
    [
      'over a year: the newest of the month',
      ['2025-10-01T08:00:00Z', '2025-10-20T08:00:00Z', '2025-10-31T08:00:00Z'],
      [2],
    ],
    ['the month ends at midnight in Zurich', ['2024-07-31T21:59:00Z', '2024-07-31T22:01:00Z'], [0, 1]],
    ['3649 days old: monthly', ['2016-11-27T08:00:00Z', '2016-11-28T08:00:00Z'], [1]],
    ['3650 days old: gone', ['2016-11-26T08:00:00Z'], []],
  ])('%s', (_, times, expected) => {
    expect(keptOld(times)).toEqual(expected);
  });

  test('the newest of a week that ends within the daily span takes the week', () => {
    expect(keptOld(['2026-10-24T08:00:00Z', '2026-10-26T08:00:00Z'])).toEqual([0, 1]);
    expect(kept(snapshots(['2026-10-20T08:00:00Z', '2026-10-21T08:00:00Z', ...YOUNG]), NOW)).toEqual([1, 2, 3, 4]);
  });

  test('always the last three of each mandate, however old', () => {
    const times = ['2001-01-01T00:00:00Z', '2001-01-02T00:00:00Z', '2001-01-03T00:00:00Z', '2001-01-04T00:00:00Z'];
    expect(kept(snapshots(times), NOW)).toEqual([1, 2, 3]);
    const others = snapshots(times, { mandateRef: OTHER }).map((one, index) => ({ ...one, id: id(100 + index) }));
    expect(kept([...snapshots(times), ...others], NOW)).toEqual([1, 2, 3, 5, 6, 7]);
  });

  test.each([
    ['the day before the last', '2026-12-30T12:00:00Z', true],
    ['the last day in Zurich', '2026-12-31T22:59:00Z', true],
    ['the next day in Zurich, still the last in UTC', '2026-12-31T23:01:00Z', false],
  ])('a hold until 31.12.2026: %s', (_, now, held) => {
    const [old] = snapshots(['2001-01-01T00:00:00Z'], { holdUntil: 20261231 });
    const list = [old as PlanSnapshot, ...snapshots(YOUNG).map((one, index) => ({ ...one, id: id(50 + index) }))];
    expect(kept(list, now).includes(0)).toBe(held);
  });

  test('times that are equal or in the future', () => {
    expect(kept(snapshots(['2027-01-01T00:00:00Z', ...YOUNG]), NOW)).toEqual([0, 1, 2, 3]);
    const same = '2025-03-05T08:00:00Z';
    expect(keptOld([same, same])).toEqual([1]);
  });

  test('the order in which snapshots are listed does not matter, and a later time keeps no more of them', () => {
    const list = fc
      .array(fc.integer({ min: 0, max: 4500 }), { minLength: 1, maxLength: 30 })
      .map((ages) =>
        snapshots(ages.toSorted((a, b) => b - a).map((age) => new Date(at(NOW) - age * 86_400_000).toISOString())),
      );
    fc.assert(
      fc.property(list, fc.integer({ min: 0, max: 4000 }), (all, later) => {
        const now = planKeeps(DEFAULT_PLAN, all, at(NOW));
        expect(planKeeps(DEFAULT_PLAN, all.toReversed(), at(NOW))).toEqual(now);
        const then = planKeeps(DEFAULT_PLAN, all, at(NOW) + later * 86_400_000);
        expect([...then].filter((one) => !now.has(one))).toEqual([]);
      }),
    );
  });
});

test('a plan is read back', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.nat(), (allDays, weeklyDays, monthlyDays) => {
      const plan = { allDays, weeklyDays, monthlyDays };
      expect(parsePlan(encodePlan(plan))).toEqual(plan);
    }),
  );
});

describe('days in Zurich', () => {
  test.each([
    ['winter, before midnight', '2026-01-31T22:59:59Z', { year: 2026, month: 1, day: 31 }],
    ['winter, after midnight', '2026-01-31T23:00:00Z', { year: 2026, month: 2, day: 1 }],
    ['summer, before midnight', '2026-07-31T21:59:59Z', { year: 2026, month: 7, day: 31 }],
    ['summer, after midnight', '2026-07-31T22:00:00Z', { year: 2026, month: 8, day: 1 }],
    ['the short day in March', '2026-03-29T21:59:59Z', { year: 2026, month: 3, day: 29 }],
    ['the long day in October', '2026-10-25T22:59:59Z', { year: 2026, month: 10, day: 25 }],
    ['1970', '1970-01-01T00:00:00Z', { year: 1970, month: 1, day: 1 }],
  ])('%s', (_, time, day) => {
    expect(zurichDay(at(time))).toEqual(day);
  });

  test('ISO weeks begin on Monday', () => {
    const week = (year: number, month: number, day: number) => isoWeekOf(dayNumber({ year, month, day }));
    expect(week(2026, 11, 23)).toBe(dayNumber({ year: 2026, month: 11, day: 23 }));
    expect(week(2026, 11, 29)).toBe(week(2026, 11, 23));
    expect(week(2026, 11, 30)).not.toBe(week(2026, 11, 29));
    expect(week(2027, 1, 3)).toBe(week(2026, 12, 28));
  });

  test('numbers that are dates, and the end of a hold', () => {
    expect([20240229, 20261231, 19000101].every(isDateNumber)).toBe(true);
    expect([0, 20230229, 20261301, 20260431, 20260400, 18991231, 20261232].some(isDateNumber)).toBe(false);
    expect(holdUntilFor(2026)).toBe(20361231);
  });
});
