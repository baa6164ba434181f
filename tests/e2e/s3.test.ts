import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { workOneDay } from '../support/books.ts';
import { differences } from '../support/compare.ts';
import { testWith } from '../support/faults.ts';
import { until } from '../support/process.ts';
import { lacksPostgres, realPostgres } from '../support/real-postgres.ts';
import { lacksS3, OwnS3 } from '../support/real-s3.ts';
import { World } from '../support/world.ts';

jest.setTimeout(180_000);

const NAME = 'Dupont SA';
const lacks =
  lacksPostgres() ??
  (process.env['S3_ENDPOINT'] === undefined ? lacksS3() : 'a store that tests may kill (S3_ENDPOINT)');
const test = testWith(lacks);

/** The server with its bucket in a real S3 store and its database in PostgreSQL: nothing of a subscriber is on its disk. */
describe('a server on S3 and PostgreSQL', () => {
  let s3: OwnS3;
  let world: World;
  let agent: Agent;
  let books: string;

  beforeAll(async () => {
    if (lacks !== undefined) return;
    s3 = new OwnS3('e2e');
    world = await World.create({
      env: { ...s3.s3.env, SAFE_BLOBS: s3.s3.blobs(), SAFE_DATABASE: realPostgres().url },
    });
    ({ first: agent, books } = await world.household({ scale: 0.02 }));
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    s3?.stop('--kill', '--wipe');
  });

  async function restoresAll(): Promise<void> {
    const target = world.path('restored');
    await agent.restore(NAME, '--snapshot', 'latest', '--to', target);
    expect(differences(books, target)).toEqual([]);
    rmSync(target, { recursive: true });
  }

  test('sends and restores, and shows no key', async () => {
    await agent.send(NAME);
    await restoresAll();
    const shown = await world.server.operate('config', 'show');
    expect(shown.stdout).toContain(s3.s3.bucket);
    expect(shown.stdout + world.server.log).not.toContain(s3.s3.secretAccessKey);
  });

  test('F-28 the gateway is killed while a send runs: it waits, and goes on when the store is back', async () => {
    for (let day = 1; day <= 3; day++) workOneDay(books, day, { scale: 0.02 });
    const sending = agent.send(NAME);
    process.kill(s3.gateway(), 'SIGKILL');
    await until(
      async () => ((await fetch(`${world.server.url}/health/ready`)).status === 503 ? true : undefined),
      () => 'the server did not notice that its store is gone',
    );
    s3.up();
    await sending;
    await restoresAll();
  });

  test('a stopped store is a 503 with Retry-After, and reads and writes work again after it', async () => {
    s3.stop('--kill');
    const answer = await fetch(`${world.server.url}/health/ready`);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await answer.text()).not.toMatch(/ECONN|127\.0\.0\.1|at .*\.js/);
    s3.up();
    await agent.send(NAME);
    await restoresAll();
  });

  test('a wrong place is told before anything starts', async () => {
    const other = new World({ env: { ...s3.s3.env, SAFE_BLOBS: s3.s3.blobs().replace('/test/', '/none/') } });
    const refused = await other.server.operate('serve', '--listen', '127.0.0.1:0', '--json');
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.stdout).error.code).toBe('store.unreachable');
    rmSync(join(other.dir), { recursive: true });
  });
});
