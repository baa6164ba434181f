import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent, Sent } from '../support/agent.ts';
import { Clock } from '../support/clock.ts';
import { collect, until } from '../support/process.ts';
import { World } from '../support/world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

interface Ran extends Sent {
  readonly due: boolean;
  readonly nextRun: number;
  readonly exitCode: number;
  readonly report: { readonly json: string; readonly text: string };
}

interface Shown {
  readonly schedule: Record<string, unknown> | null;
  readonly nextRuns: readonly number[];
  readonly last: { readonly exitCode: number; readonly report: string } | null;
  readonly retry: { readonly attempts: number; readonly notBefore: number } | null;
}

let world: World;
let first: Agent;
let clock: Clock;

beforeAll(async () => {
  world = await World.create();
  const subscriber = await world.server.addSubscriber({ name: 'Fiduciaire Rossi' });
  const connected = await world.connected(subscriber.enrolmentCode);
  clock = new Clock(world.path('clock'));
  first = connected.with({ env: clock.env });
});
afterAll(() => world[Symbol.asyncDispose]());

const scheduled = (...args: string[]) => first.json<Ran>(['run-scheduled', '--wait', '0', ...args]);
const shown = () => first.json<Shown>(['schedule', 'show']);
const reports = () => readdirSync(join(first.home, 'reports')).filter((name) => name.endsWith('.json'));

/** Mandates of a few KB, as `mandate add` would note them; fifty starts of the program would take a minute. */
function smallMandates(from: number, count: number): string[] {
  const path = join(first.home, 'mandates.json');
  const known = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as unknown[]) : [];
  const made = Array.from({ length: count }, (_, n) => {
    const name = `Client ${String(from + n).padStart(2, '0')}`;
    const folder = world.path(name);
    mkdirSync(folder);
    writeFileSync(join(folder, 'livre.cre'), `${name}\n`.repeat(300));
    const mandateId = (from + n).toString(16).padStart(32, '0');
    return { name, mandateId, path: folder, modules: [{ kind: 'accounting', file: 'livre.cre' }] };
  });
  writeFileSync(path, JSON.stringify([...known, ...made]));
  return made.map(({ name }) => name);
}

describe('a fiduciary with fifty mandates', () => {
  let evening: number;

  it('sets a schedule, with a minute drawn in the window, and learns how it is started', async () => {
    smallMandates(1, 50);
    const set = await first.run(['schedule', 'set', '--weekdays', '--at', '18:00', '--window', '30']);
    expect(set).toMatchObject({ code: 0, stdout: expect.stringContaining('--install') });
    const { schedule, nextRuns } = await shown();
    expect(schedule).toMatchObject({ kind: 'weekdays', mandates: null, limit: null, at: '18:00' });
    expect(schedule?.['runsAt']).toMatch(/^18:[0-2]\d$/);
    expect(new Set(nextRuns).size).toBe(5);
    evening = nextRuns[0] ?? 0;
    expect(await scheduled()).toMatchObject({ due: false, nextRun: evening });
  });

  it('sends all when the moment comes; the one whose module is open fails, by name, in one report for all', async () => {
    clock.goTo(evening + MINUTE);
    const open = openSync(world.path('Client 07', 'livre.cre'), 'r');
    try {
      const ran = await first.json<Ran>(['run-scheduled', '--wait', '0'], 7);
      expect(ran.snapshots).toHaveLength(49);
      expect(ran.failures).toMatchObject([{ mandate: 'Client 07', error: { code: 'module-open' } }]);
      expect(reports()).toHaveLength(1);
      expect(JSON.parse(readFileSync(ran.report.json, 'utf8'))).toMatchObject({
        exitCode: 7,
        failures: [{ mandate: 'Client 07' }],
        error: null,
      });
      const text = readFileSync(ran.report.text, 'utf8');
      for (let n = 1; n <= 50; n++) expect(text).toContain(`« Client ${String(n).padStart(2, '0')} »`);
      expect(text.trim().split('\n').at(-1)).toContain('49');
    } finally {
      closeSync(open);
    }
    expect(await shown()).toMatchObject({ last: { exitCode: 7 }, retry: { attempts: 1 } });
    const { warnings } = await first.json<{ warnings: { code: string }[] }>(['status']);
    expect(warnings.map(({ code }) => code)).toContain('schedule');
  });

  it('tries the one that failed again after its back-off, and only that one', async () => {
    expect(await scheduled()).toMatchObject({ due: false });
    clock.advance(6 * MINUTE);
    const ran = await scheduled();
    expect(ran.snapshots.map(({ mandate, unchanged }) => [mandate, unchanged])).toEqual([['Client 07', false]]);
    expect(await shown()).toMatchObject({ last: { exitCode: 0 }, retry: null });
    clock.advance(HOUR);
    expect(await scheduled()).toMatchObject({ due: false });
  });

  it('F-41 runs nothing twice when the clock is put back over the moment', async () => {
    clock.goTo(evening - HOUR);
    expect(await scheduled()).toMatchObject({ due: false });
    clock.goTo(evening + 2 * MINUTE);
    expect(await scheduled()).toMatchObject({ due: false });
  });

  it('catches up once after two weeks asleep; a folder that is gone stops no other', async () => {
    rmSync(world.path('Client 03'), { recursive: true });
    writeFileSync(world.path('Client 04', 'facture.pdf'), 'new');
    clock.goTo(evening + 14 * DAY + 3 * HOUR);
    const ran = await first.json<Ran>(['run-scheduled', '--wait', '0'], 14);
    expect(ran.failures).toMatchObject([{ mandate: 'Client 03', error: { code: 'path-missing' } }]);
    expect(ran.snapshots.filter(({ unchanged }) => !unchanged).map(({ mandate }) => mandate)).toEqual(['Client 04']);
    expect(ran.snapshots).toHaveLength(49);
    // a folder does not come back by itself: nothing is tried again before the next moment
    expect(await shown()).toMatchObject({ last: { exitCode: 14 }, retry: null });
    expect(await scheduled()).toMatchObject({ due: false });
  });
});

describe('a server that is down', () => {
  it('is told, makes a point on this computer, and is tried again until it is up', async () => {
    await first.json(['schedule', 'set', 'Client 04', '--cron', '0 12 * * *']);
    const { nextRuns } = await shown();
    clock.goTo((nextRuns[0] ?? 0) + MINUTE);
    writeFileSync(world.path('Client 04', 'facture.pdf'), 'changed');
    await world.server.stop();
    const before = reports().length;
    const { exitCode, error } = await first.refused(['run-scheduled', '--wait', '0']);
    expect({ exitCode, code: error.code }).toEqual({ exitCode: 9, code: 'unreachable' });
    expect(reports()).toHaveLength(before + 1);
    const report = (await shown()).last?.report ?? '';
    expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({
      exitCode: 9,
      error: { code: 'unreachable' },
      points: [{ mandate: 'Client 04', unchanged: false }],
    });
    const { points } = await first.json<{ points: { reason: string }[] }>(['points', 'Client 04']);
    expect(points.map(({ reason }) => reason)).toEqual(['schedule']);
    await world.server.start();
    clock.advance(6 * MINUTE);
    const ran = await scheduled();
    expect(ran.snapshots).toMatchObject([{ mandate: 'Client 04', unchanged: false }]);
    expect(await shown()).toMatchObject({ last: { exitCode: 0 }, retry: null });
  });

  it('is waited for when there is time', async () => {
    await world.server.stop();
    const child = first.start(['run-scheduled', '--now', '--json']);
    const printed = collect(child);
    const ended = new Promise((done) => child.once('close', done));
    await until(
      () => (printed.stderr().includes('note') ? true : undefined),
      () => `it did not say that it waits: ${printed.stdout()}${printed.stderr()}`,
    );
    await world.server.start();
    expect(await ended).toBe(0);
    expect(JSON.parse(printed.stdout())).toMatchObject({ due: true, snapshots: [{ mandate: 'Client 04' }] });
  });
});

describe('beside other runs', () => {
  function holderOf(lock: string): number | undefined {
    const path = join(first.home, lock);
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { pid: number }).pid : undefined;
  }

  it('waits for a manual send, and a second scheduled run does not begin', async () => {
    writeFileSync(world.path('Client 05', 'scan.pdf'), crypto.getRandomValues(new Uint8Array(60_000)));
    const manual = first.start(['send', 'Client 05', '--limit', '100', '--json']); // a pack of 256 KiB
    const sending = collect(manual);
    const sent = new Promise((done) => manual.once('close', done));
    const pid = await until(
      () => holderOf('lock'),
      () => sending.stderr(),
    );
    process.kill(pid, 'SIGSTOP'); // for as long as the others look
    const child = first.start(['run-scheduled', '--now', '--json']);
    const running = collect(child);
    const ran = new Promise((done) => child.once('close', done));
    await until(
      () => (holderOf('scheduled.lock') && running.stderr().includes('note') ? true : undefined), // it says that it waits
      () => running.stderr(),
    );
    expect(await first.refused(['run-scheduled', '--now'])).toMatchObject({
      exitCode: 16,
      error: { code: 'another-run' },
    });
    expect(running.stdout()).toBe('');
    process.kill(pid, 'SIGCONT');
    expect(await Promise.all([sent, ran])).toEqual([0, 0]);
    expect(JSON.parse(running.stdout())).toMatchObject({ due: true, exitCode: 0 });
    expect(JSON.parse(sending.stdout())).toMatchObject({ snapshots: [{ mandate: 'Client 05', unchanged: false }] });
  });
});

describe('without what it needs', () => {
  it('says so when no key is remembered, and tries again once it is', async () => {
    await first.json(['secret', 'forget']);
    const { exitCode, error } = await first.refused(['run-scheduled', '--now', '--wait', '0']);
    expect({ exitCode, hint: error.hint }).toEqual({
      exitCode: 2,
      hint: expect.stringContaining('cresus-safe secret remember'),
    });
    expect(await shown()).toMatchObject({ last: { exitCode: 2 }, retry: { attempts: 1 } });
  });

  it('does nothing, well, once the schedule is off', async () => {
    expect(await first.json(['schedule', 'off'])).toMatchObject({ schedule: null });
    expect(await scheduled()).toMatchObject({ due: false, nextRun: null });
    expect(await shown()).toEqual({ schedule: null, nextRuns: [], last: null });
  });

  it('refuses a damaged schedule with a way out, and `schedule off` is it', async () => {
    writeFileSync(join(first.home, 'schedule.json'), '{"version":1');
    for (const command of [['run-scheduled'], ['schedule', 'show']])
      expect(await first.refused(command)).toMatchObject({
        exitCode: 2,
        error: { hint: expect.stringContaining('schedule off') },
      });
    await first.json(['schedule', 'off']);
    expect((await shown()).schedule).toBeNull();
  });
});
