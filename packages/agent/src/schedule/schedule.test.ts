import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { ensureFolder } from '../local/files.ts';
import { type Home, homeAt } from '../local/home.ts';
import { isInside, parseHours, parseTime, timeText } from './hours.ts';
import { parseLimit } from './limit.ts';
import { reportNames, reportsFolder, writeReport } from './reports.ts';
import { loadRuns, saveRuns } from './runs.ts';
import { limitAt, loadSchedule, removeSchedule, type Schedule, saveSchedule, schedulePath, ZONE } from './schedule.ts';

let home: Home;

beforeEach(() => {
  home = homeAt(mkdtempSync(join(tmpdir(), 'safe-schedule-')));
});
afterEach(() => rmSync(home.dir, { recursive: true, force: true }));

const SCHEDULE: Schedule = {
  version: 1,
  mandates: ['aa', 'bb'],
  kind: 'weekdays',
  pattern: '0 18 * * 1-5',
  at: 18 * 60,
  window: 30,
  offset: 17,
  zone: ZONE,
  limit: { bytesPerSecond: 500_000, hours: { from: 8 * 60, to: 18 * 60 } },
  setAt: 1_795_000_000_000,
};

test('a schedule comes back as it was kept, and is gone when it is ended', () => {
  expect(loadSchedule(home)).toBeUndefined();
  saveSchedule(home, SCHEDULE);
  expect(loadSchedule(home)).toEqual(SCHEDULE);
  const plain = { ...SCHEDULE, mandates: null, limit: undefined, at: undefined };
  saveSchedule(home, plain);
  expect(loadSchedule(home)).toEqual(plain);
  removeSchedule(home);
  expect(loadSchedule(home)).toBeUndefined();
});

test.each([
  ['not JSON', '{'],
  ['a version of later', JSON.stringify({ ...SCHEDULE, version: 2 })],
  ['another kind', JSON.stringify({ ...SCHEDULE, kind: 'hourly' })],
  ['a minute past midnight', JSON.stringify({ ...SCHEDULE, offset: 1440 })],
  ['a limit that stalls', JSON.stringify({ ...SCHEDULE, limit: { bytesPerSecond: 1, hours: null } })],
  ['mandates that are no texts', JSON.stringify({ ...SCHEDULE, mandates: [1] })],
])('a file that holds %s is refused by name, never guessed', (_, text) => {
  writeFileSync(schedulePath(home), text);
  expect(() => loadSchedule(home)).toThrow(
    expect.objectContaining({ kind: 'usage', key: 'error.schedule-damaged', hint: 'hint.schedule-damaged' }),
  );
});

test('what ran comes back as it was kept; a damaged memory is begun anew', () => {
  const runs = {
    slot: 5,
    last: { slot: 5, startedAt: 6, finishedAt: 7, exitCode: 3, report: 'r' },
    retry: { slot: 5, attempts: 2, notedAt: 7, notBefore: 9, mandates: ['aa'] },
  };
  saveRuns(home, runs);
  expect(loadRuns(home)).toEqual(runs);
  writeFileSync(join(home.dir, 'schedule-runs.json'), '{"version":1,"slot":"x"}');
  expect(loadRuns(home)).toEqual({ slot: undefined, last: undefined, retry: undefined });
});

test.each([
  ['08:05', 485],
  ['00:00', 0],
  ['23:59', 1439],
])('%s is a time of day', (text, minutes) => {
  expect(parseTime(text)).toBe(minutes);
  expect(timeText(minutes)).toBe(text);
});

test.each([['8:05'], ['24:00'], ['12:60'], ['12h30'], ['12:30:00'], ['']])('“%s” is none', (text) => {
  expect(parseTime(text)).toBeUndefined();
  expect(parseHours(`${text}-18:00`)).toBeUndefined();
});

test('hours need a length', () => {
  expect(parseHours('08:00-18:00')).toEqual({ from: 480, to: 1080 });
  expect(parseHours('22:00-06:00')).toEqual({ from: 1320, to: 360 });
  expect(parseHours('08:00-08:00')).toBeUndefined();
  expect(parseHours('08:00-10:00-12:00')).toBeUndefined();
});

test.each([
  // 08:00 in Switzerland is 07:00 UTC in winter and 06:00 UTC in summer
  ['2026-11-24T06:59:59Z', false],
  ['2026-11-24T07:00:00Z', true],
  ['2026-11-24T16:59:59Z', true],
  ['2026-11-24T17:00:00Z', false],
  ['2027-07-01T05:59:59Z', false],
  ['2027-07-01T06:00:00Z', true],
  // Sunday 28 March 2027, the clock jumps at 01:00 UTC
  ['2027-03-28T06:00:00Z', true],
])('at %s the limit of 08:00-18:00 holds: %s', (text, holds) => {
  expect(limitAt(SCHEDULE, Date.parse(text))).toBe(holds ? 500_000 : undefined);
});

test('hours over midnight, and a limit without hours', () => {
  const night = { from: 22 * 60, to: 6 * 60 };
  const inside = (text: string): boolean => isInside(night, Date.parse(text), ZONE);
  expect(['20:59', '21:00', '23:30', '04:59', '05:00'].map((time) => inside(`2026-11-24T${time}:00Z`))).toEqual([
    false,
    true,
    true,
    true,
    false,
  ]);
  const always = { zone: ZONE, limit: { bytesPerSecond: 20_000, hours: undefined } };
  expect(limitAt(always, 0)).toBe(20_000);
  expect(limitAt({ zone: ZONE, limit: undefined }, 0)).toBeUndefined();
});

test('a limit is KB/s in a range that no server takes for a stall', () => {
  expect(parseLimit('500')).toBe(500_000);
  expect(parseLimit('16 KB/s')).toBe(16_000);
  expect(parseLimit('64 Ko/s')).toBe(64_000);
  for (const text of ['15', '0', '-5', '1e3', '500.5', 'fast', '1000001', ''])
    expect(() => parseLimit(text)).toThrow(expect.objectContaining({ key: 'error.send-limit' }));
});

test('the newest hundred reports are kept, those of one second apart, other files alone', () => {
  const folder = reportsFolder(home);
  ensureFolder(folder);
  writeFileSync(join(folder, 'mine.txt'), 'x');
  const start = Date.parse('2026-11-24T17:30:00Z');
  const first = writeReport(home, 'run', start, { n: 0 }, ['first']);
  expect(first.name).toBe('2026-11-24T183000-run');
  expect(writeReport(home, 'run', start, {}, []).name).toBe('2026-11-24T183000-2-run');
  for (let n = 1; n <= 100; n++) writeReport(home, 'drill', start + n * 1000, { n }, []);
  const names = reportNames(folder);
  expect(names).toHaveLength(100);
  expect(names).not.toContain(first.name);
  expect(names.at(-1)).toBe('2026-11-24T183140-drill');
}, 60_000);
