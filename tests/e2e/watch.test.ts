import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { Clock } from '../support/clock.ts';
import { collect, repository, start, until } from '../support/process.ts';
import { World } from '../support/world.ts';

const accounting = join(repository, 'tests/support/accounting.mjs');

interface WatchLine {
  readonly event: string;
  readonly mandate?: string;
  readonly [fact: string]: unknown;
}

/** A running `watch --json`, and what it has told so far. */
class Watch {
  readonly child: ChildProcess;
  readonly #output: ReturnType<typeof collect>;

  constructor(agent: Agent, env: Record<string, string> = {}, args: readonly string[] = []) {
    this.child = agent.start(['watch', '--json', '--delay', '1', ...args], { env });
    this.#output = collect(this.child);
  }

  /** The lines after the first `from`; every one must be JSON. */
  told(from = 0): WatchLine[] {
    const lines = this.#output.stdout().split('\n').slice(0, -1);
    return lines.slice(from).map((line) => JSON.parse(line) as WatchLine);
  }

  /** Waits until it has told an `event` after its first `from` lines; gives how many lines that makes. */
  async tells(event: string, from = 0): Promise<number> {
    const at = await until(
      () => {
        const found = this.told(from).findIndex((line) => line.event === event);
        return found === -1 ? undefined : found;
      },
      () => `no ${event} after line ${from}:\n${this.#output.stdout()}\n${this.#output.stderr()}`,
      30_000,
    );
    return from + at + 1;
  }

  async end(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }> {
    const begun = performance.now();
    this.child.kill(signal);
    const [code] = (await once(this.child, 'close')) as [number | null];
    return { code, ms: performance.now() - begun };
  }
}

let world: World;
let agent: Agent;
let compta: string;
let watches: Watch[];
let programs: ChildProcess[];

beforeEach(async () => {
  world = new World();
  agent = world.computer();
  watches = [];
  programs = [];
  compta = join(makeMandate('Dupont'), 'compta.cre');
  await agent.json(['mandate', 'add', 'Dupont SA', '--path', world.path('Dupont')]);
});
afterEach(async () => {
  for (const { child } of watches) child.kill('SIGKILL');
  for (const child of programs) child.kill('SIGKILL');
  await world[Symbol.asyncDispose]();
});

function makeMandate(name: string): string {
  const path = world.path(name);
  mkdirSync(path);
  for (const file of ['compta.cre', 'paie.salx']) writeFileSync(join(path, file), file.repeat(100));
  return path;
}

/** A watch that has taken its first point. */
async function watching(env: Record<string, string> = {}): Promise<{ watch: Watch; at: number }> {
  const watch = new Watch(agent, env);
  watches.push(watch);
  return { watch, at: await watch.tells('point') };
}

/** Somebody opens the books in the accounting program, which edits and closes them when a line is typed. */
async function opens(edit: string): Promise<ChildProcess> {
  const child = start([process.execPath, accounting, compta, '--edit', edit, '--until-line']);
  programs.push(child);
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

async function expectAllSaved(): Promise<void> {
  expect(await agent.json(['point', 'Dupont SA'])).toMatchObject({ points: [{ unchanged: true, reason: 'watch' }] });
}

describe('a watch', () => {
  it('makes a point when work ended, not while a module is open, and none without work', async () => {
    const { watch, at } = await watching();
    const program = await opens('du comptable');
    appendFileSync(compta, 'saved now and then');
    const worked = await watch.tells('open', await watch.tells('changed', at));
    expect(watch.told(worked - 1)[0]).toMatchObject({
      mandate: 'Dupont SA',
      modules: [{ kind: 'accounting', file: 'compta.cre', program: 'node', pid: program.pid }],
    });
    expect(watch.told(at).map(({ event }) => event)).not.toContain('point');
    program.stdin?.write('\n');
    const done = await watch.tells('point', worked);
    expect(watch.told(done - 1)[0]).toMatchObject({ mandate: 'Dupont SA', point: { files: 2, problems: [] } });
    expect(readFileSync(compta, 'latin1')).toContain('du comptable');
    await expectAllSaved();
    expect(watch.told(done)).toEqual([]);

    const second = await agent.refused(['watch']);
    expect(second).toMatchObject({ exitCode: 16, error: { code: 'another-run', details: { pid: watch.child.pid } } });
    expect(await agent.json(['points', 'Dupont SA'])).toMatchObject({
      points: [{ reason: 'watch' }, { reason: 'watch' }],
    });

    const { code, ms } = await watch.end('SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(1000);
    expect(watch.told(done)).toMatchObject([{ event: 'stopped' }]);
  });

  it('killed and started again, it takes what happened meanwhile', async () => {
    const { watch } = await watching();
    await watch.end('SIGKILL');
    appendFileSync(compta, 'nobody watched');
    const again = await watching();
    expect(again.watch.told().map(({ event }) => event)).toEqual(['started', 'point']);
    await expectAllSaved();
  });

  it('killed in the middle of a point, it makes that point when it is started again', async () => {
    const dying = new Watch(agent, { SAFE_CRASH_AT: 'before-commit' });
    watches.push(dying);
    expect(await once(dying.child, 'close')).toEqual([null, 'SIGKILL']);
    expect(dying.told().map(({ event }) => event)).toEqual(['started']);
    await watching();
    await expectAllSaved();
  });

  it('survives sleep: the clock jumps, and it looks at everything again', async () => {
    const clock = new Clock(world.path('clock'));
    const { watch, at } = await watching(clock.env);
    clock.advance(9 * 3_600_000);
    const resumed = await watch.tells('resumed', at);
    expect(Number(watch.told(resumed - 1)[0]?.['gapMs'])).toBeGreaterThan(8 * 3_600_000);
    const quiet = await watch.tells('unchanged', resumed);
    appendFileSync(compta, 'in the morning');
    await watch.tells('point', quiet);
    await expectAllSaved();
  });

  it('waits while another run holds the home, follows new mandates and a folder that comes back', async () => {
    const { watch, at } = await watching();
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    writeFileSync(join(agent.home, 'lock'), JSON.stringify({ pid: process.pid, boot, start: '' }));
    appendFileSync(compta, 'while another run works');
    const waiting = await watch.tells('waiting', at);
    expect(watch.told(waiting - 1)[0]).toMatchObject({ pid: process.pid });
    rmSync(join(agent.home, 'lock'));
    const point = await watch.tells('point', waiting);

    renameSync(world.path('Dupont'), world.path('elsewhere'));
    const away = await watch.tells('away', point);
    renameSync(world.path('elsewhere'), world.path('Dupont'));
    const back = await watch.tells('unchanged', await watch.tells('back', away));
    await agent.json(['mandate', 'add', 'Martin', '--path', makeMandate('Martin')]);
    const added = await watch.tells('point', back);
    expect(watch.told(added - 1)[0]).toMatchObject({ mandate: 'Martin' });
  });
});
