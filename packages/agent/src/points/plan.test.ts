import { asMandateId, asSnapshotId } from '@cresus-safe/protocol';
import { expect, test } from '@jest/globals';
import { type KeepReason, planPoints } from './plan.ts';
import { DEFAULT_SETTINGS } from './settings.ts';
import type { PointInfo } from './store.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Points at these times (ISO, UTC), made in this order. */
function pointsAt(times: readonly (string | number)[], more: Partial<PointInfo> = {}): PointInfo[] {
  return times.map((time, index) => ({
    id: asSnapshotId(`${String(index + 1).padStart(4, '0')}${more.mandateId ?? '0'.repeat(32)}`.padEnd(64, '0')),
    mandateId: asMandateId('0'.repeat(32)),
    mandateName: 'Dupont SA',
    seq: index + 1,
    createdAt: typeof time === 'number' ? time : Date.parse(time),
    files: 1,
    bytes: 1,
    reason: 'session',
    comment: '',
    incomplete: false,
    ...more,
  }));
}

/** Of each point why it is kept, in the order of making. */
function kept(points: readonly PointInfo[], now: string | number, plan = DEFAULT_SETTINGS): (KeepReason | undefined)[] {
  const at = typeof now === 'number' ? now : Date.parse(now);
  return planPoints(points, plan, at).map(({ keptAs }) => keptAs);
}

test('every point of the last two days, then the newest of each day, then of each week, and the last one', () => {
  const points = pointsAt([
    '2025-09-01T09:00Z', // Monday, over a year ago
    '2026-03-02T09:00Z', // Monday
    '2026-03-04T09:00Z', // Wednesday of the same week
    '2026-11-10T09:00Z',
    '2026-11-10T15:00Z',
    '2026-11-22T09:00Z',
    '2026-11-22T15:00Z',
    '2026-11-24T09:00Z',
  ]);
  expect(kept(points, '2026-11-24T18:00Z')).toEqual([
    undefined,
    undefined,
    'weekly',
    undefined,
    'daily',
    'recent',
    'recent',
    'last',
  ]);
});

test('the last point stays, however old it is', () => {
  expect(kept(pointsAt(['2019-01-01T09:00Z']), '2026-11-24T09:00Z')).toEqual(['last']);
});

test('each mandate is planned for itself', () => {
  const first = pointsAt(['2026-11-01T09:00Z', '2026-11-01T10:00Z']);
  const second = pointsAt(['2026-11-01T11:00Z'], { mandateId: 'f'.repeat(32) });
  expect(kept([...first, ...second], '2026-11-24T09:00Z')).toEqual([undefined, 'last', 'last']);
});

test('a day is a calendar day in Switzerland, of 23 hours or of 25', () => {
  // clocks went forward on 29.3.2026 at 02:00 and back on 25.10.2026 at 03:00
  const spring = pointsAt([
    '2026-03-28T22:30Z',
    '2026-03-28T23:30Z',
    '2026-03-29T21:30Z',
    '2026-03-29T22:30Z',
    '2026-04-10T09:00Z',
  ]);
  expect(kept(spring, '2026-04-10T10:00Z')).toEqual(['daily', undefined, 'daily', 'daily', 'last']);
  const autumn = pointsAt([
    '2026-10-24T21:30Z',
    '2026-10-24T22:30Z',
    '2026-10-25T22:30Z',
    '2026-10-25T23:30Z',
    '2026-11-10T09:00Z',
  ]);
  expect(kept(autumn, '2026-11-10T10:00Z')).toEqual(['daily', undefined, 'daily', 'daily', 'last']);
});

test('two days back are whole days, also over the change of the clocks', () => {
  const autumn = pointsAt(['2026-10-23T22:30Z', '2026-10-23T23:00Z', '2026-10-26T22:30Z']);
  // 26.10. at 23:30: the 24th began 72 hours ago, an hour more than by the clock
  expect(kept(autumn, '2026-10-26T22:45Z')).toEqual(['recent', 'recent', 'last']);
  expect(kept(autumn, '2026-10-26T23:15Z')).toEqual([undefined, 'daily', 'last']);
});

test('a leap day is a day, and its week a week', () => {
  const points = pointsAt([
    '2028-02-28T09:00Z',
    '2028-02-29T09:00Z',
    '2028-02-29T15:00Z',
    '2028-03-01T09:00Z',
    '2028-03-20T09:00Z',
  ]);
  expect(kept(points, '2028-03-20T10:00Z')).toEqual(['daily', undefined, 'daily', 'daily', 'last']);
  expect(kept(points, '2028-06-20T10:00Z')).toEqual([undefined, undefined, undefined, 'weekly', 'last']);
  // 397 days after 29.2.2028, which the leap day does not shorten, is 1.4.2029
  const leap = pointsAt(['2028-02-29T09:00Z', '2029-01-15T09:00Z', '2029-03-31T09:00Z']);
  expect([kept(leap, '2029-04-01T10:00Z')[0], kept(leap, '2029-04-03T10:00Z')[0]]).toEqual(['weekly', undefined]);
});

test('a clock that was set back removes nothing, and the last point is the one made last', () => {
  const points = pointsAt(['2036-01-01T09:00Z', '2036-01-01T10:00Z', '2026-11-24T09:00Z']);
  expect(kept(points, '2026-11-24T10:00Z')).toEqual(['recent', 'recent', 'last']);
});

test('a clock that jumps ahead by years removes nothing before some days went by', () => {
  const before = pointsAt(['2026-11-20T09:00Z', '2026-11-23T09:00Z', '2036-01-01T09:00Z']);
  expect(kept(before, '2036-01-01T10:00Z')).toEqual(['gap', 'gap', 'last']);
  const later = pointsAt(['2026-11-20T09:00Z', '2026-11-23T09:00Z', '2036-01-01T09:00Z', '2036-01-05T09:00Z']);
  expect(kept(later, '2036-01-05T10:00Z')).toEqual([undefined, undefined, 'daily', 'last']);
});

test('the state before the last restore stays as long as daily points do', () => {
  const [first, undo, after, last] = pointsAt([
    '2026-11-10T09:00Z',
    '2026-11-10T10:00Z',
    '2026-11-10T11:00Z',
    '2026-11-24T09:00Z',
  ]);
  const points = [first, { ...undo, reason: 'restore' as const }, after, last] as PointInfo[];
  expect(kept(points, '2026-11-24T10:00Z')).toEqual([undefined, 'undo', 'daily', 'last']);
});

test('other numbers of days, and none at all', () => {
  const points = pointsAt(['2026-11-10T09:00Z', '2026-11-23T09:00Z', '2026-11-24T09:00Z', '2026-11-24T10:00Z']);
  const plan = { ...DEFAULT_SETTINGS, allDays: 0, dailyDays: 1, weeklyDays: 0 };
  expect(kept(points, '2026-11-24T11:00Z', plan)).toEqual([undefined, 'daily', 'recent', 'last']);
  expect(kept(points, '2026-11-25T11:00Z', plan)).toEqual([undefined, undefined, undefined, 'last']);
  const none = { ...plan, dailyDays: 0 };
  expect(kept(points, '2026-11-25T11:00Z', none)).toEqual([undefined, undefined, undefined, 'last']);
});

test('over 450 days of work with a run after every point: never more than the plan, every week of the last year reachable', () => {
  let living: PointInfo[] = [];
  const start = Date.parse('2027-01-04T08:00Z');
  let seq = 0;
  for (let day = 0; day < 450; day++) {
    for (let hour = 0; hour < 2; hour++) {
      const [made] = pointsAt([start + day * DAY + hour * 2 * HOUR]);
      seq += 1;
      living.push({ ...(made as PointInfo), seq, id: asSnapshotId(String(seq).padStart(64, '0')) });
      const now = start + day * DAY + hour * 2 * HOUR + 1;
      living = planPoints(living, DEFAULT_SETTINGS, now).flatMap(({ point, keptAs }) => (keptAs ? [point] : []));
      // what was kept at a moment is kept again at the same moment
      expect(planPoints(living, DEFAULT_SETTINGS, now).every(({ keptAs }) => keptAs !== undefined)).toBe(true);
    }
  }
  const ages = living.map(({ createdAt }) => (start + 449 * DAY - createdAt) / DAY);
  expect(living.length).toBeLessThanOrEqual(3 * 2 + 30 + 54);
  for (let week = 5; week < 52; week++) expect(ages.some((age) => Math.abs(age - week * 7) < 7)).toBe(true);
  for (let day = 3; day < 31; day++) expect(ages.filter((age) => Math.round(age) === day)).toHaveLength(1);
});
