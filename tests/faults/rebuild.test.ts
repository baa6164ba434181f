import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { workOneDay } from '../support/books.ts';
import { until } from '../support/process.ts';
import type { Subscriber } from '../support/server.ts';
import { World } from '../support/world.ts';

const env: Record<string, string> = {};
let world: World;
let subscriber: Subscriber;
let agent: Agent;
let books: string;
let day = 0;

beforeAll(async () => {
  world = await World.create({ env });
  ({ subscriber, first: agent, books } = await world.household());
  await agent.json(['send', 'Dupont SA']);
});
afterAll(() => world[Symbol.asyncDispose]());

const database = (at = '') =>
  ['', '-wal', '-shm'].map((end) => [`safe.sqlite${end}`, `${at}safe.sqlite${end}`] as const);

/** What an agent does on an ordinary day; it would say so if anything had gone back. */
async function ordinaryDay(): Promise<void> {
  workOneDay(books, ++day, { scale: 0.01 });
  await agent.json(['send', 'Dupont SA']);
  await agent.json([
    'restore',
    'Dupont SA',
    '--snapshot',
    'latest',
    '--to',
    world.path(`restored-${performance.now()}`),
  ]);
  await agent.json(['verify', '--full']);
}

describe('a server whose database is lost', () => {
  it('F-35 refuses to start on an empty one; a rebuild that is killed twice goes on, and no agent notices', async () => {
    const { server } = world;
    await server.stop();
    for (const [file] of database()) rmSync(join(server.dataDir, file), { force: true });
    await expect(server.start()).rejects.toThrow('safe-server rebuild');
    await server.stop();
    for (const point of ['rebuild-accounts', 'rebuild-batch']) {
      env['SAFE_CRASH_AT'] = point;
      const killed = await server.operate('rebuild');
      delete env['SAFE_CRASH_AT'];
      expect(killed.code).not.toBe(0);
      const early = await server.operate('subscriber', 'list', '--json');
      expect(JSON.parse(early.stdout)).toMatchObject({ error: { code: 'store.rebuilding' } });
    }
    const result = await server.operateJson('rebuild');
    expect(result).toMatchObject({ accounts: 1, devices: 1, vaults: 1, damaged: [] });
    const again = await server.operate('rebuild', '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({ error: { code: 'rebuild.not-empty' } });
    await server.start();
    await ordinaryDay();
  });
});

describe('a server whose database is of yesterday', () => {
  it('F-35 answers nothing until it has caught up beside the running server; then no agent sees a rollback', async () => {
    const { server } = world;
    await server.stop();
    for (const [file, copy] of database('yesterday-'))
      if (existsSync(join(server.dataDir, file))) cpSync(join(server.dataDir, file), world.path(copy));
    await server.start();
    await ordinaryDay();
    await server.operateJson('subscriber', 'extend', subscriber.number, '--until', '2051-12-31');
    await server.stop();
    for (const [file, copy] of database('yesterday-'))
      if (existsSync(world.path(copy))) cpSync(world.path(copy), join(server.dataDir, file));
      else rmSync(join(server.dataDir, file), { force: true });
    const starting = server.start();
    await until(
      async () => {
        const answer = await fetch(`${server.url}/v1/account`).catch(() => undefined);
        return answer?.status === 503 ? true : undefined;
      },
      () => `the server does not tell:\n${server.log}`,
    );
    expect(server.log).toContain('the database is older than the bucket');
    expect(await server.operateJson('rebuild', '--catch-up')).toMatchObject({ changed: 1, entries: 1, damaged: [] });
    await starting; // ready once it has seen that
    const account = await agent.json<{ subscription: { expiresOn: string } }>(['status']);
    expect(JSON.stringify(account)).toContain('2051-12-31');
    await ordinaryDay();
  });
});
