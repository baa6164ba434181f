import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { testWith } from '../support/faults.ts';
import { until } from '../support/process.ts';
import { type Answer, ProtocolClient, type SealedPack } from '../support/protocol-client.ts';
import { lacksPostgres, OwnPostgres } from '../support/real-postgres.ts';
import { SafeServer } from '../support/server.ts';

const lacks = lacksPostgres();
const postgres = new OwnPostgres('f34');
let dir: string;
let database: string;
let server: SafeServer;
let client: ProtocolClient;
let pack: SealedPack;

beforeAll(async () => {
  if (lacks !== undefined) return;
  dir = await mkdtemp(join(tmpdir(), 'safe-f34-'));
  database = postgres.up();
  const env = { SAFE_DATABASE: database, SAFE_DATABASE_CONNECTIONS: '3' };
  server = await new SafeServer(join(dir, 'server'), { env }).start();
  const { enrolmentCode } = await server.addSubscriber();
  client = await ProtocolClient.withVault(server.url, enrolmentCode);
  ({ pack } = await client.send());
});

afterAll(async () => {
  if (lacks !== undefined) return;
  await server.stop();
  postgres.stop('--wipe');
  await rm(dir, { recursive: true, force: true });
});

const sql = (statement: string) =>
  execFileSync('psql', [database, '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', statement], { encoding: 'utf8' }).trim();
const account = () => client.call('GET', '/v1/account');
const headSeq = () => Number(sql('SELECT head_seq FROM vault'));

function expectLater(answer: Answer): void {
  expect({ status: answer.status, code: answer.code }).toEqual({ status: 503, code: 'busy' });
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
}

/** Another session of the database that keeps `statement` open for so many seconds. */
async function hold(statement: string, seconds: number): Promise<ChildProcess> {
  const script = `BEGIN; ${statement}; \\echo held\nSELECT pg_sleep(${seconds}); COMMIT;`;
  const child = spawn('psql', [database, '-Xq'], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(script);
  await once(child.stdout, 'data');
  return child;
}

describe('F-34: when PostgreSQL fails', () => {
  testWith(lacks)(
    'killed under traffic: 503 with Retry-After, the same server goes on, nothing acknowledged is lost',
    async () => {
      const acknowledged: number[] = [];
      const others: Answer[] = [];
      let sending = true;
      const traffic = (async () => {
        while (sending) {
          const answer = await client.append(client.snapshot(pack));
          if (answer.status === 201) acknowledged.push(client.head.seq);
          else others.push(answer);
          // what was not answered may have been committed all the same: an agent then looks at the journal
          if (answer.code === 'stale-head') client.head = answer.json['head'] as typeof client.head;
        }
      })();
      await until(
        () => (acknowledged.length > 3 ? true : undefined),
        () => 'no traffic',
      );
      postgres.stop('--kill');
      expectLater(await account());
      postgres.up();
      const before = acknowledged.length;
      await until(
        () => (acknowledged.length > before + 3 ? true : undefined),
        () =>
          `no traffic after the restart: ${others.map(({ status, code }) => `${status} ${String(code)}`).join(', ')}`,
      );
      sending = false;
      await traffic;
      for (const answer of others) if (answer.code !== 'stale-head') expectLater(answer);
      expect(others.length).toBeGreaterThan(0);
      const stored = sql('SELECT seq FROM entry ORDER BY seq').split('\n').map(Number);
      expect(stored).toEqual(Array.from({ length: headSeq() }, (_, index) => index + 1));
      expect(stored).toEqual(expect.arrayContaining(acknowledged));
    },
  );

  testWith(lacks)('a unit of work that meets another is run again as a whole, and leaves one trace', async () => {
    sql(`CREATE SEQUENCE tries;
      CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') < 3 THEN RAISE 'as if' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;
      CREATE TRIGGER fail_twice AFTER INSERT ON entry FOR EACH ROW EXECUTE FUNCTION fail_twice()`);
    const before = headSeq();
    expect((await client.append(client.snapshot(pack))).status).toBe(201);
    expect(sql('SELECT last_value FROM tries')).toBe('3');
    expect(headSeq()).toBe(before + 1);
    sql('DROP TRIGGER fail_twice ON entry; DROP FUNCTION fail_twice');
  });

  testWith(lacks)('one that always meets another is given up with 503, without any effect', async () => {
    sql(`CREATE FUNCTION fail_always() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE 'as if' USING ERRCODE = '40P01'; END $$;
      CREATE TRIGGER fail_always AFTER INSERT ON entry FOR EACH ROW EXECUTE FUNCTION fail_always()`);
    const before = headSeq();
    expectLater(await client.append(client.snapshot(pack)));
    expect(headSeq()).toBe(before);
    sql('DROP TRIGGER fail_always ON entry; DROP FUNCTION fail_always');
    expect((await client.append(client.snapshot(pack))).status).toBe(201);
  });

  testWith(lacks)('all connections in use: 503 with Retry-After within seconds, and none stays lost', async () => {
    const holder = await hold('LOCK TABLE vault IN ACCESS EXCLUSIVE MODE', 14);
    const answers = await Promise.all(Array.from({ length: 12 }, account));
    for (const answer of answers) expectLater(answer);
    if (holder.exitCode === null) await once(holder, 'exit');
    const after = await Promise.all(Array.from({ length: 12 }, account));
    expect(after.map(({ status }) => status)).toEqual(after.map(() => 200));
  });

  testWith(lacks)('ended sessions and a stop at noon: idle connections that break end no process', async () => {
    sql(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()',
    );
    await until(
      async () => ((await account()).status === 200 ? true : undefined),
      () => 'the server does not come back',
    );
    const { pid } = server;
    postgres.stop();
    expectLater(await account());
    postgres.up();
    await until(
      async () => ((await account()).status === 200 ? true : undefined),
      () => 'the server does not come back',
    );
    expect(server.pid).toBe(pid);
    expect((await client.append(client.snapshot(pack))).status).toBe(201);
  });
});
