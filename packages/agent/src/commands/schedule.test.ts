import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { AgentError } from '../errors.ts';
import { homeAt, prepareHome } from '../local/home.ts';
import { saveMandates } from '../mandate/mandates.ts';
import { loadTexts } from '../render/i18n.ts';
import { Output } from '../render/output.ts';
import { Prompt } from '../render/prompt.ts';
import { loadSchedule } from '../schedule/schedule.ts';
import type { Context } from './context.ts';
import { runCommandLine } from './table.ts';

let context: Context;

beforeEach(async () => {
  const home = homeAt(join(realpathSync(mkdtempSync(join(tmpdir(), 'safe-schedule-'))), 'home'));
  const sink = { write: () => true };
  prepareHome(home);
  saveMandates(home, [{ name: 'Dupont SA', mandateId: 'dd'.repeat(16), path: '/books', modules: [] }]);
  context = {
    home,
    texts: await loadTexts('en'),
    output: new Output({ json: false, quiet: true, progress: false }, sink, sink),
    prompt: new Prompt(Object.assign(new PassThrough(), { isTTY: false }), sink),
    env: { HOME: join(home.dir, 'user') },
    secretFile: undefined,
    yes: false,
    version: '1.2.3',
    now: () => Date.UTC(2026, 10, 24, 10),
    signal: new AbortController().signal,
  };
});
afterEach(() => rmSync(join(context.home.dir, '..'), { recursive: true, force: true }));

const set = (...args: string[]) => runCommandLine(['schedule', 'set', ...args], context);

test.each<[string[], string]>([
  [['--at', '25:00'], 'error.schedule-time'],
  [['--at', '8'], 'error.schedule-time'],
  [['--daily', '--weekdays'], 'error.schedule-when'],
  [['--weekdays', '--cron', '0 1 * * *'], 'error.schedule-when'],
  [['--cron', '61 * * * *'], 'error.schedule-pattern'],
  [['--cron', '0 0 31 2 *'], 'error.schedule-pattern'],
  [['--cron', '0 1 * * *', '--at', '08:00'], 'error.schedule-cron-at'],
  [['--window', '9999'], 'error.schedule-window'],
  [['--window=-1'], 'error.schedule-window'],
  [['--limit', '3'], 'error.send-limit'],
  [['--limit-hours', '08:00-18:00'], 'error.schedule-hours-alone'],
  [['--limit', '500', '--limit-hours', '8-18'], 'error.schedule-hours'],
  [['Dupont SA', '--all'], 'error.names-and-all'],
  [['Nobody'], 'error.no-mandate'],
])('schedule set %j is refused, and the schedule that was stays', async (args, key) => {
  await set('--at', '12:00', '--window', '0');
  const before = loadSchedule(context.home);
  await expect(set(...args)).rejects.toEqual(expect.objectContaining({ key }));
  await expect(set(...args)).rejects.toBeInstanceOf(AgentError);
  expect(loadSchedule(context.home)).toEqual(before);
});

test('without flags: every day, in the half hour after 17:30, all mandates', async () => {
  await set();
  const schedule = loadSchedule(context.home);
  expect(schedule).toMatchObject({ kind: 'daily', pattern: '30 17 * * *', window: 30, mandates: null });
  expect(schedule?.limit).toBeUndefined();
  expect(schedule?.offset).toBeLessThan(30);
});

test('names, weekdays, an exact time and a limit in office hours', async () => {
  const outcome = await set(
    ...['dupont sa', '--weekdays', '--at', '12:05', '--window', '0'],
    ...['--limit', '500', '--limit-hours', '08:00-18:00'],
  );
  expect(loadSchedule(context.home)).toMatchObject({
    mandates: ['dd'.repeat(16)],
    pattern: '5 12 * * 1-5',
    offset: 0,
    limit: { bytesPerSecond: 500_000, hours: { from: 480, to: 1080 } },
  });
  expect(outcome?.json).toMatchObject({
    schedule: { mandates: ['Dupont SA'], runsAt: '12:05', limit: { kbPerSecond: 500, hours: '08:00-18:00' } },
    remembered: false,
    installed: [],
  });
  expect(outcome?.lines.join('\n')).toContain('Monday to Friday at 12:05');
});

test('the minute is drawn over the whole window', async () => {
  const drawn = new Set<number>();
  for (let n = 0; n < 30; n++) {
    await set('--window', '2');
    drawn.add(loadSchedule(context.home)?.offset ?? -1);
  }
  expect([...drawn].sort()).toEqual([0, 1]);
});

test('--install writes systemd units that start this very program on this home, and off takes them away', async () => {
  const { existsSync, readFileSync } = await import('node:fs');
  const outcome = await set('--install');
  const [service = '', timer = ''] = (outcome?.json['installed'] ?? []) as string[];
  expect(readFileSync(service, 'utf8')).toContain(`"--home" "${context.home.dir}"`);
  expect(readFileSync(service, 'utf8')).toMatch(/^ExecStart="\/.*run-scheduled$/m);
  expect(readFileSync(timer, 'utf8')).toContain('Persistent=true');
  const off = await runCommandLine(['schedule', 'off'], context);
  expect(off?.json).toMatchObject({ schedule: null, removed: [service, timer] });
  expect([service, timer].filter(existsSync)).toEqual([]);
});
