import { execFileSync } from 'node:child_process';
import { get, Agent as HttpAgent } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ProtocolClient } from '../support/protocol-client.ts';
import { lacksPostgres, realPostgres } from '../support/real-postgres.ts';
import { SafeServer } from '../support/server.ts';
import { fillSnapshots, fillSubscribers, PLANS } from './fill.ts';
import { median, standing } from './measure.ts';
import { table } from './table.ts';

type DatabaseName = 'SQLite' | 'PostgreSQL';

/** What one server costs on one size of database. Medians in ms. */
export interface Flat {
  readonly database: DatabaseName;
  readonly snapshots: number;
  readonly subscribers: number;
  readonly commit: number;
  readonly page: number;
  readonly account: number;
}

/** What metadata requests cost. */
export interface Requests {
  readonly database: DatabaseName;
  readonly perSecond: number;
  /** CPU time of the server process (without the database's) for each request. */
  readonly cpuMs: number;
  /** At half of `perSecond`. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface FlatReport {
  readonly flat: Flat[];
  readonly requests: Requests[];
  /** How the statements behind it are run on the biggest databases. */
  readonly plans: Readonly<Record<string, string>>;
}

/** One axis at a time. */
const SIZES = [
  { snapshots: 10, subscribers: 10 },
  { snapshots: 10_000, subscribers: 10 },
  { snapshots: 10, subscribers: 100_000 },
];
const REPEATS = 40;
const LANES = 8;
const HALF_LOAD_SECONDS = 10;

/** A real server on a fresh database of its own, and one statement at a time beside it. */
interface Subject {
  readonly database: DatabaseName;
  readonly server: SafeServer;
  readonly client: ProtocolClient;
  readonly query: (sql: string) => string;
}

/** Measures commit, page and account on databases that differ in one size, and what requests cost. */
export async function measureFlat(work: string, note: (text: string) => void): Promise<FlatReport> {
  const lacking = lacksPostgres();
  if (lacking !== undefined) console.warn(`SKIPPED: PostgreSQL (${lacking})`);
  const databases: DatabaseName[] = lacking === undefined ? ['SQLite', 'PostgreSQL'] : ['SQLite'];
  const flat: Flat[] = [];
  const requests: Requests[] = [];
  const plans: Record<string, string> = {};
  for (const database of databases)
    for (const [index, size] of SIZES.entries()) {
      const subject = await start(database, join(work, `flat-${database}-${index}`));
      try {
        if (index === 0) requests.push(await measureRequests(subject));
        fill(subject, size);
        note(`${database}: ${size.snapshots} snapshots, ${size.subscribers} subscribers`);
        flat.push({ database, ...size, ...(await measureOne(subject.client)) });
        if (index > 0) Object.assign(plans, explain(subject, size));
      } finally {
        await subject.server.stop();
      }
    }
  return { flat, requests, plans };
}

async function start(database: DatabaseName, dir: string): Promise<Subject> {
  const { address, query } = database === 'SQLite' ? sqlite(join(dir, 'bench.sqlite')) : postgres();
  const env = { SAFE_DATABASE: address, SAFE_LOG_LEVEL: 'warn', SAFE_ENTRIES_PER_HOUR: '100000' };
  const server = await new SafeServer(dir, { env }).start();
  const { enrolmentCode } = await server.addSubscriber();
  const client = await ProtocolClient.withVault(server.url, enrolmentCode);
  await client.send();
  return { database, server, client, query };
}

function sqlite(file: string): { address: string; query: Subject['query'] } {
  const query = (sql: string) => {
    using db = new DatabaseSync(file, { timeout: 10_000 });
    if (!sql.startsWith('EXPLAIN')) db.exec(sql);
    else return rows(db, sql.replace('EXPLAIN', 'EXPLAIN QUERY PLAN'));
    return '';
  };
  return { address: `sqlite:${file}`, query };
}

function rows(db: DatabaseSync, sql: string): string {
  return db
    .prepare(sql)
    .all()
    .map((row) => String(row['detail']))
    .join('\n');
}

function postgres(): { address: string; query: Subject['query'] } {
  const { url } = realPostgres();
  const query = (sql: string) =>
    execFileSync('psql', [url, '--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '-v', 'ON_ERROR_STOP=1'], {
      input: sql,
      encoding: 'utf8',
    }).trim();
  return { address: url, query };
}

/** Brings the database to its size, and the client to the head that it then has. */
function fill(subject: Subject, { snapshots, subscribers }: { snapshots: number; subscribers: number }): void {
  const { client, query, database } = subject;
  const hex = (digits: number) =>
    database === 'SQLite' ? `printf('%0${digits}x', i)` : `lpad(to_hex(i), ${digits}, '0')`;
  const { vaultId } = client.keys;
  query(
    ['BEGIN', ...fillSnapshots(vaultId, snapshots, hex), ...fillSubscribers(vaultId, subscribers, hex), 'COMMIT'].join(
      ';\n',
    ),
  );
  query(database === 'SQLite' ? 'ANALYZE' : 'SET client_min_messages = error; ANALYZE');
  client.head = { seq: 2 + snapshots, hash: client.head.hash }; // all are copies of the same entry
}

async function measureOne(client: ProtocolClient): Promise<Pick<Flat, 'commit' | 'page' | 'account'>> {
  const pack = client.seal();
  await client.put(pack);
  const after = client.head.seq - 10;
  // each record is another, so each commit is one
  const commit = await medianOf(async () => (await client.append(client.snapshot(pack))).status, 201);
  const page = await medianOf(
    async () => (await client.call('GET', `/v1/journal?after=${after}&limit=10`)).status,
    200,
  );
  const account = await medianOf(async () => (await client.call('GET', '/v1/account')).status, 200);
  return { commit, page, account };
}

async function medianOf(request: () => Promise<number>, expected: number): Promise<number> {
  const times: number[] = [];
  for (let n = -10; n < REPEATS; n++) {
    const begun = performance.now();
    const status = await request();
    if (status !== expected) throw new Error(`the server answered ${status}, not ${expected}`);
    if (n >= 0) times.push(performance.now() - begun);
  }
  return median(times);
}

/** As many `GET /v1/account` as the server answers, then half as many. */
async function measureRequests({ database, server, client }: Subject): Promise<Requests> {
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 64 });
  const one = () => timeOf(`${server.url}/v1/account`, client.token, agent);
  await burst(500, one);
  const before = standing(server.pid).cpuSeconds;
  const begun = performance.now();
  const count = 4000;
  await burst(count, one);
  const perSecond = (count * 1000) / (performance.now() - begun);
  const cpuMs = ((standing(server.pid).cpuSeconds - before) * 1000) / count;
  const times = (await paced(perSecond / 2, one)).sort((a, b) => a - b);
  agent.destroy();
  const at = (share: number) => times[Math.floor(times.length * share)] ?? Number.NaN;
  return { database, perSecond, cpuMs, p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function burst(count: number, one: () => Promise<number>): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** Requests that begin at their time whether or not earlier ones have ended, so that a stall is seen by all it holds up. */
async function paced(perSecond: number, one: () => Promise<number>): Promise<number[]> {
  const begun = performance.now();
  const asked: Promise<number>[] = [];
  while (performance.now() - begun < HALF_LOAD_SECONDS * 1000) {
    const due = ((performance.now() - begun) / 1000) * perSecond;
    while (asked.length < due) asked.push(one());
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return await Promise.all(asked);
}

function timeOf(url: string, token: string, agent: HttpAgent): Promise<number> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    get(url, { agent, headers: { authorization: `Bearer ${token}` } }, (answer) => {
      answer.resume();
      answer.once('end', () => {
        if (answer.statusCode === 200) resolve(performance.now() - begun);
        else reject(new Error(`the server answered ${answer.statusCode}`));
      });
    }).once('error', reject);
  });
}

function explain({ database, query, client }: Subject, { snapshots }: { snapshots: number }): Record<string, string> {
  const big = snapshots > 10 ? `${snapshots} snapshots` : '100,000 subscribers';
  const plans = Object.entries(PLANS(client.keys.vaultId)).map(([name, sql]): [string, string] => [
    `${database}, ${big}: ${name}`,
    query(`EXPLAIN ${sql}`),
  ]);
  return Object.fromEntries(plans);
}

/** The tables and plans as text. */
export function reportFlat({ flat, requests, plans }: FlatReport): string {
  const ms = (value: number) => value.toFixed(2);
  const sizes = flat.map((row) => [
    row.database,
    String(row.snapshots),
    String(row.subscribers),
    ms(row.commit),
    ms(row.page),
    ms(row.account),
  ]);
  const costs = requests.map((row) => [
    row.database,
    row.perSecond.toFixed(0),
    ms(row.cpuMs),
    ms(row.p50Ms),
    ms(row.p99Ms),
  ]);
  return [
    `Medians of ${REPEATS} requests one after the other, ms`,
    table([['', 'snapshots', 'subscribers', 'commit', 'page of 10', 'account'], ...sizes]),
    `\nGET /v1/account, ${LANES} at once, then for ${HALF_LOAD_SECONDS} s at half that rate`,
    table([['', 'requests/s', 'server CPU ms each', 'p50 ms', 'p99 ms'], ...costs]),
    ...Object.entries(plans).map(([name, plan]) => `\n${name}\n${plan.replace(/^/gm, '    ')}`),
  ].join('\n');
}
