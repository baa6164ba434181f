import { describe, expect, test } from '@jest/globals';
import { checkPattern, due, nextSlot, nextSlots, retryAt } from './due.ts';
import type { Runs } from './runs.ts';
import { type Schedule, ZONE } from './schedule.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const at = (text: string): number => Date.parse(text);
const NEVER: Runs = { slot: undefined, last: undefined, retry: undefined };

function daily(pattern: string, more: Partial<Schedule> = {}): Schedule {
  return {
    version: 1,
    mandates: null,
    kind: 'daily',
    pattern,
    at: undefined,
    window: 0,
    offset: 0,
    zone: ZONE,
    limit: undefined,
    setAt: 0,
    ...more,
  };
}

const ran = (slot: number): Runs => ({ ...NEVER, slot });

describe('what is due', () => {
  const evening = daily('30 18 * * *', { setAt: at('2026-11-24T09:00:00Z') });
  const tuesday = at('2026-11-24T17:30:00Z');

  test('nothing before the first moment after it was set, then that moment, once', () => {
    expect(due(evening, NEVER, tuesday - 1)).toBeUndefined();
    expect(due(evening, NEVER, tuesday)).toEqual({ slot: tuesday, mandates: null, attempt: 1 });
    expect(due(evening, NEVER, tuesday + 3 * HOUR)).toEqual({ slot: tuesday, mandates: null, attempt: 1 });
    expect(due(evening, ran(tuesday), tuesday + 3 * HOUR)).toBeUndefined();
    expect(due(evening, ran(tuesday), tuesday + DAY)).toMatchObject({ slot: tuesday + DAY });
  });

  test('after two weeks asleep the newest moment alone is caught up, once', () => {
    const now = tuesday + 14 * DAY + 5 * HOUR;
    const caught = due(evening, ran(tuesday), now);
    expect(caught).toMatchObject({ slot: tuesday + 14 * DAY, attempt: 1 });
    expect(due(evening, ran(caught?.slot ?? 0), now)).toBeUndefined();
  });

  test('the drawn minutes are added to the pattern, also over midnight', () => {
    const late = daily('50 23 * * *', { offset: 25 });
    const slot = at('2026-11-24T23:15:00Z'); // 00:15 on the 25th in Switzerland
    expect(nextSlot(late, slot - 1000)).toBe(slot);
    expect(due(late, ran(slot - DAY), slot - 1)).toBeUndefined();
    expect(due(late, ran(slot - DAY), slot)).toMatchObject({ slot });
  });

  test('a mandate list goes along', () => {
    expect(due({ ...evening, mandates: ['aa'] }, NEVER, tuesday)).toMatchObject({ mandates: ['aa'] });
  });
});

describe('F-41 clocks', () => {
  const evening = daily('30 18 * * *', { setAt: at('2026-11-01T09:00:00Z') });
  const tuesday = at('2026-11-24T17:30:00Z');

  test('F-41 put back over the moment that ran: it does not run again when it comes back', () => {
    expect(due(evening, ran(tuesday), tuesday - HOUR)).toBeUndefined();
    expect(due(evening, ran(tuesday), tuesday)).toBeUndefined();
    expect(due(evening, ran(tuesday), tuesday + DAY)).toMatchObject({ slot: tuesday + DAY });
  });

  test('F-41 put back by a year after it was wrong: what ran then is not believed, so that today runs', () => {
    expect(due(evening, ran(tuesday + 365 * DAY), tuesday + HOUR)).toMatchObject({ slot: tuesday });
  });

  test('F-41 set while the clock was ahead: the schedule is not put off until then', () => {
    expect(due({ ...evening, setAt: tuesday + 365 * DAY }, NEVER, tuesday + HOUR)).toMatchObject({ slot: tuesday });
  });

  test('F-41 put forward by a day: one catch-up', () => {
    expect(due(evening, ran(tuesday), tuesday + DAY + HOUR)).toMatchObject({ slot: tuesday + DAY });
  });
});

describe('summer time and leap days', () => {
  test('a time that the change to summer time skips comes when the clock jumps, once', () => {
    const night = daily('30 2 * * *');
    expect(nextSlots(night, at('2027-03-27T12:00:00Z'), 2)).toEqual([
      at('2027-03-28T01:00:00Z'),
      at('2027-03-29T00:30:00Z'),
    ]);
    const jump = at('2027-03-28T01:00:00Z');
    expect(due(night, ran(at('2027-03-27T01:30:00Z')), jump - 1)).toBeUndefined();
    expect(due(night, ran(at('2027-03-27T01:30:00Z')), jump)).toMatchObject({ slot: jump });
    expect(due(night, ran(jump), jump + HOUR)).toBeUndefined();
  });

  test('a time that the change to winter time repeats comes once', () => {
    const night = daily('30 2 * * *');
    const first = at('2027-10-31T00:30:00Z');
    expect(due(night, ran(first - DAY), first)).toMatchObject({ slot: first });
    for (let minutes = 1; minutes < 24 * 60; minutes += 7)
      expect(due(night, ran(first), first + minutes * 60_000)).toBeUndefined();
    // the next day is 25 hours later
    expect(due(night, ran(first), first + 25 * HOUR)).toMatchObject({ slot: first + 25 * HOUR });
  });

  test('an evening keeps its wall clock time over both changes', () => {
    const evening = daily('30 18 * * *');
    expect(nextSlots(evening, at('2027-03-27T12:00:00Z'), 2)).toEqual([
      at('2027-03-27T17:30:00Z'),
      at('2027-03-28T16:30:00Z'),
    ]);
  });

  test('weekdays leave out Saturday and Sunday', () => {
    const work = daily('0 12 * * 1-5');
    expect(nextSlots(work, at('2026-11-27T12:00:00Z'), 1)).toEqual([at('2026-11-30T11:00:00Z')]);
    expect(due(work, ran(at('2026-11-27T11:00:00Z')), at('2026-11-29T20:00:00Z'))).toBeUndefined();
  });

  test('29 February comes in leap years', () => {
    const leap = daily('0 12 29 2 *');
    expect(nextSlots(leap, at('2026-11-24T00:00:00Z'), 2)).toEqual([
      at('2028-02-29T11:00:00Z'),
      at('2032-02-29T11:00:00Z'),
    ]);
    expect(due(leap, ran(at('2024-02-29T11:00:00Z')), at('2027-03-01T00:00:00Z'))).toBeUndefined();
  });
});

describe('what failed', () => {
  const evening = daily('30 18 * * *');
  const slot = at('2026-11-24T17:30:00Z');
  const noted = slot + 60_000;
  const failed = (attempts: number): Runs => ({
    ...ran(slot),
    retry: { slot, attempts, notedAt: noted, notBefore: retryAt(attempts, noted), mandates: ['bb'] },
  });

  test('comes again after its back-off, for the mandates that failed, with the next attempt', () => {
    expect(due(evening, failed(1), noted + 4 * 60_000)).toBeUndefined();
    expect(due(evening, failed(1), noted + 5 * 60_000)).toEqual({ slot, mandates: ['bb'], attempt: 2 });
  });

  test('waits longer each time, at most an hour', () => {
    expect([1, 2, 3, 4, 5, 12].map((attempts) => (retryAt(attempts, 0) - 0) / 60_000)).toEqual([5, 15, 30, 60, 60, 60]);
  });

  test('gives way to the next moment, with all its mandates', () => {
    expect(due(evening, failed(4), slot + DAY)).toEqual({ slot: slot + DAY, mandates: null, attempt: 1 });
  });

  test('F-41 does not wait for a clock that was put back', () => {
    expect(due(evening, failed(4), noted - 1000)).toMatchObject({ slot, attempt: 5 });
  });
});

test.each([['61 2 * * *'], ['* * * *'], ['0 0 12 * * *'], ['a b c d e'], ['0 0 31 2 *'], ['']])(
  'the pattern “%s” is a usage error',
  (pattern) => {
    expect(() => checkPattern({ pattern, offset: 0, zone: ZONE }, slotNow)).toThrow(
      expect.objectContaining({ kind: 'usage', key: 'error.schedule-pattern' }),
    );
  },
);
const slotNow = at('2026-11-24T10:00:00Z');
