import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent, Sent } from '../support/agent.ts';
import { collect, repository, start, until } from '../support/process.ts';
import { World } from '../support/world.ts';

const accounting = join(repository, 'tests/support/accounting.mjs');

interface Session {
  readonly mandate: string;
  readonly program: { readonly exitCode: number | null; readonly signal: string | null };
  readonly point: { readonly id: string; readonly unchanged: boolean; readonly files: number };
}
interface Points {
  readonly points: readonly { readonly id: string; readonly reason: string; readonly unchanged?: boolean }[];
}

/** A folder with the three modules. */
function makeMandate(path: string): string {
  mkdirSync(path);
  for (const file of ['compta.cre', 'facturation.fac', 'paie.salx']) writeFileSync(join(path, file), file.repeat(100));
  return path;
}

/** The stand-in for the accounting program, as arguments of a command. */
function program(...args: string[]): string[] {
  return [process.execPath, accounting, ...args];
}

/** The stand-in as a program that somebody else started, with its module open; it ends when a line is typed. */
async function otherProgram(file: string, ...flags: string[]): Promise<ChildProcess> {
  const child = start(program(file, '--until-line', ...flags));
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

async function typeLine(child: ChildProcess): Promise<void> {
  child.stdin?.write('\n');
  if (child.exitCode === null) await once(child, 'exit');
}

describe('a session with the accounting program', () => {
  let world: World;
  let agent: Agent;
  let books: string;
  let compta: string;

  beforeAll(async () => {
    world = new World();
    agent = world.computer();
    books = makeMandate(world.path('Dupont'));
    compta = join(books, 'compta.cre');
    await agent.json(['mandate', 'add', 'Dupont SA', '--path', books]);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const points = async (): Promise<Points['points']> => (await agent.json<Points>(['points', 'Dupont SA'])).points;
  /** The disk holds exactly what the newest point does. */
  const expectAllSaved = async (): Promise<void> => {
    expect((await agent.json<Points>(['point', 'Dupont SA'])).points).toMatchObject([{ unchanged: true }]);
  };

  it('gives the exit code of the program, and a point of what it changed; without a change none', async () => {
    const edited = await agent.run([
      'session',
      'Dupont SA',
      '--',
      ...program(compta, '--edit', 'matin', '--exit', '9'),
    ]);
    expect(edited).toMatchObject({ code: 9, stdout: expect.stringContaining('open\n') });
    expect(await points()).toMatchObject([{ reason: 'session' }]);
    await expectAllSaved();

    const again = await agent.json<Session>(['session', 'Dupont SA', '--json', '--', ...program(compta)]);
    expect(again).toMatchObject({ program: { exitCode: 0 }, point: { unchanged: true } });
    expect(await points()).toHaveLength(1);
  });

  it('waits for the program that a launcher started, and says so', async () => {
    const launched = program(compta, '--launch', '--hold', '2500', '--edit', 'du lanceur');
    const finished = await agent.run(['session', 'Dupont SA', '--', ...launched]);
    expect(finished.code).toBe(0);
    expect(finished.stderr).toMatch(/« Dupont SA » est encore ouvert : compta\.cre, node, pid \d+/);
    expect(readFileSync(compta, 'latin1')).toContain('du lanceur');
    await expectAllSaved();
  });

  it('passes SIGTERM on to the program, and still makes the point', async () => {
    const args = ['session', 'Dupont SA', '--json', '--', ...program(compta, '--hold', '60000', '--on-term', '5')];
    const child = agent.start(args);
    const output = collect(child);
    await until(() => (output.stderr().includes('open') ? true : undefined), output.stderr);
    writeFileSync(compta, 'saved at the last moment'.repeat(30));
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([5, null]);
    expect(JSON.parse(output.stdout())).toMatchObject({ program: { exitCode: 5 }, point: { unchanged: false } });
    await expectAllSaved();
  });

  it('makes the point also for somebody who closes the window', async () => {
    const before = (await points()).length;
    const child = agent.start(['session', 'Dupont SA', '--', ...program(compta, '--hold', '60000')]);
    const output = collect(child);
    await until(() => (output.stdout().includes('open') ? true : undefined), output.stderr);
    writeFileSync(compta, 'saved before the window was closed'.repeat(20));
    for (const stream of [child.stdout, child.stderr]) stream?.destroy();
    child.kill('SIGHUP');
    expect(await once(child, 'exit')).toEqual([129, null]);
    expect(await points()).toHaveLength(before + 1);
    await expectAllSaved();
  });

  it('a program that a signal ended has the code that a shell gives it', async () => {
    const finished = await agent.run(['session', 'Dupont SA', '--json', '--', 'sh', '-c', 'kill -KILL $$']);
    expect(finished.code).toBe(137);
    expect(JSON.parse(finished.stdout)).toMatchObject({ program: { exitCode: null, signal: 'SIGKILL' } });
  });

  it('its own trouble goes before the program’s code: a module that stays open, a program that is not there', async () => {
    const other = await otherProgram(compta);
    const before = await points();
    const finished = await agent.run(['session', 'Dupont SA', '--wait', '0', '--json', '--', 'sh', '-c', 'exit 9']);
    expect(finished.code).toBe(7);
    expect(JSON.parse(finished.stdout)).toMatchObject({
      error: {
        code: 'module-open',
        details: { modules: [{ kind: 'accounting', file: 'compta.cre', pid: other.pid }] },
      },
    });
    await typeLine(other);
    expect(await points()).toEqual(before);
    const missing = await agent.run(['session', 'Dupont SA', '--json', '--', join(books, 'cresus.exe')]);
    expect(missing.code).toBe(14);
    expect((await agent.refused(['session', 'Dupont SA'])).error.code).toBe('usage');
    expect((await agent.refused(['session', 'Personne', '--json', '--', 'true'])).error.code).toBe('not-found');
  });

  it('Ctrl-C while it waits gives up the point, within a second', async () => {
    const other = await otherProgram(compta);
    const child = agent.start(['session', 'Dupont SA', '--', 'true']);
    const output = collect(child);
    await until(() => (output.stderr().includes('encore ouvert') ? true : undefined), output.stderr);
    const begun = performance.now();
    child.kill('SIGINT');
    expect(await once(child, 'close')).toEqual([130, null]);
    expect(performance.now() - begun).toBeLessThan(1500);
    await typeLine(other);
  });

  it('waits for another run of the agent', async () => {
    writeFileSync(compta, 'changed while another run works'.repeat(20));
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    writeFileSync(join(agent.home, 'lock'), JSON.stringify({ pid: process.pid, boot, start: '' }));
    const child = agent.start(['session', 'Dupont SA', '--', 'true']);
    const output = collect(child);
    await until(() => (output.stderr().includes(String(process.pid)) ? true : undefined), output.stderr);
    writeFileSync(join(agent.home, 'lock'), '');
    expect(await once(child, 'close')).toEqual([0, null]);
    await expectAllSaved();
  });
});

describe('sending while modules are open', () => {
  let world: World;
  let agent: Agent;
  let dupont: string;

  beforeAll(async () => {
    world = await World.create();
    const { enrolmentCode } = await world.server.addSubscriber();
    agent = await world.connected(enrolmentCode);
    dupont = makeMandate(world.path('Dupont'));
    await agent.json(['mandate', 'add', 'Dupont SA', '--path', dupont]);
    await agent.json(['mandate', 'add', 'Martin', '--path', makeMandate(world.path('Martin'))]);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it('is refused with module, file, program and pid; --all sends the others', async () => {
    const other = await otherProgram(join(dupont, 'paie.salx'));
    const modules = [{ kind: 'payroll', file: 'paie.salx', program: 'node', pid: other.pid, how: 'process' }];
    const { exitCode, error } = await agent.refused(['send', 'Dupont SA']);
    expect({ exitCode, code: error.code, details: error.details }).toEqual({
      exitCode: 7,
      code: 'module-open',
      details: { mandate: 'Dupont SA', modules },
    });
    expect(error.message).toContain(`Salaires (paie.salx, node, pid ${other.pid})`);

    const all = await agent.json<Sent>(['send', '--all'], 7);
    expect(all.snapshots).toMatchObject([{ mandate: 'Martin', unchanged: false }]);
    expect(all.failures).toMatchObject([
      { mandate: 'Dupont SA', error: { code: 'module-open', details: { modules } } },
    ]);

    expect(await agent.json(['mandate', 'list'])).toMatchObject({
      mandates: [
        { name: 'Dupont SA', modules: [{ open: false }, { open: false }, { file: 'paie.salx', open: true }] },
        { name: 'Martin', modules: [{ open: false }, { open: false }, { open: false }] },
      ],
    });
    expect((await agent.run(['mandate', 'list'])).stdout).toContain('Facturation, Salaires (ouvert)');
    await typeLine(other);
    expect(await agent.send('Dupont SA')).toMatchObject({ unchanged: false, files: 3 });
  });

  it('a lock file whose process is gone, and a journal that a program left behind, are told and block nothing', async () => {
    const dead = start(['true']);
    await once(dead, 'exit');
    writeFileSync(join(dupont, 'compta.cre.lock'), String(dead.pid));
    writeFileSync(join(dupont, 'facturation.fac-wal'), 'pages that were not checkpointed');
    const finished = await agent.run(['send', 'Dupont SA', '--json']);
    expect(finished).toMatchObject({ code: 0 });
    expect(JSON.parse(finished.stdout)).toMatchObject({ snapshots: [{ files: 5, problems: [] }] });
    expect(finished.stderr).toContain('"code":"stale-lock"');
    expect(finished.stderr).toContain('facturation.fac-wal');
    writeFileSync(join(dupont, 'compta.cre.lock'), String(process.pid));
    expect((await agent.refused(['send', 'Dupont SA'])).error).toMatchObject({ code: 'module-open' });
  });
});
