import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Lock, takeLock } from '@cresus-safe/agent';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { collect, until } from '../support/process.ts';
import { World } from '../support/world.ts';

jest.setTimeout(120_000);

let world: World;
let agent: Agent;

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

beforeAll(async () => {
  world = new World(); // no server at all
  agent = world.computer({});
  mkdirSync(world.path('livres'));
  writeFileSync(world.path('livres/livre.cre'), 'contenu');
  await agent.json(['mandate', 'add', 'Dupont SA', '--path', world.path('livres')]);
});
afterAll(() => world[Symbol.asyncDispose]());

describe('while another run holds the home', () => {
  /** This process stands for the watch: it holds its lock and, while it makes a point, that of the home. */
  const asWatch = (): { point: Lock; watch: Lock } => ({
    watch: takeLock(join(agent.home, 'watch.lock')),
    point: takeLock(join(agent.home, 'lock')),
  });

  it('point waits for the point that watch makes, says so, and then does its work', async () => {
    const { watch, point } = asWatch();
    const child = agent.start(['--lang', 'fr', 'point', 'Dupont SA']);
    const output = collect(child);
    const said = () => (/j'attends/.test(output.stderr() + output.stdout()) ? true : undefined);
    await until(said, () => `nothing was said:\n${output.stderr()}`);
    expect(child.exitCode).toBeNull();
    point.release();
    expect(await ended(child)).toBe(0);
    expect(await agent.json(['points', 'Dupont SA'])).toMatchObject({ points: [{ reason: 'manual' }] });
    watch.release();
  });

  it('any other run is told at once', async () => {
    using _lock = takeLock(join(agent.home, 'lock'));
    const from = performance.now();
    expect(await agent.refused(['point', 'Dupont SA'])).toMatchObject({ exitCode: 16 });
    expect(performance.now() - from).toBeLessThan(15_000);
  });

  it('Ctrl-C ends the waiting', async () => {
    const { watch, point } = asWatch();
    const child = agent.start(['--lang', 'fr', 'send', '--all']);
    const output = collect(child);
    const said = () => (/j'attends/.test(output.stderr() + output.stdout()) ? true : undefined);
    await until(said, () => `nothing was said:\n${output.stderr()}`);
    child.kill('SIGINT');
    expect(await ended(child)).toBe(130);
    point.release();
    watch.release();
  });
});

it('mandate root needs no connection, and restores go there', async () => {
  const root = world.path('mandats');
  expect(await agent.json(['mandate', 'root', root])).toMatchObject({ mandatesRoot: root });
  const copy = world.path('dupont.pe-backup');
  await agent.json(['copy', 'Dupont SA', copy]);
  const other = world.computer({});
  await other.json(['mandate', 'root', root]);
  await other.json(['restore', 'Dupont SA', '--copy', copy, '--as', 'Dupont SA']);
  expect(await other.json(['mandate', 'list'])).toMatchObject({ mandates: [{ path: join(root, 'Dupont SA') }] });
});
