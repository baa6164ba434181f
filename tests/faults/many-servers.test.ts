import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PackId, parseHistory, pathOf, type SnapshotId, sha256 } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { testWith } from '../support/faults.ts';
import { Fleet, lacksBalancer } from '../support/fleet.ts';
import { type Answer, type Prepared, ProtocolClient, type SealedPack } from '../support/protocol-client.ts';
import { lacksPostgres, realPostgres } from '../support/real-postgres.ts';
import { lacksS3, realS3 } from '../support/real-s3.ts';

const VAULTS = 25;
const DEVICES = 4;
const SECONDS = 40;
const CRASH_EVERY_MS = 3000;
/** What a server that dies, or a balancer that finds none, may answer; a retry cures it. */
const PASSING = new Set([502, 503, 504]);
const RETRY_FOR_MS = 30_000;

const lacks = lacksBalancer() ?? lacksPostgres() ?? lacksS3();

/** What one agent was told is safe. */
interface Acknowledged {
  readonly vault: number;
  readonly id: SnapshotId;
  readonly packId: PackId;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again while no server answers. Anything else that is not expected is a finding. */
async function patiently(ask: () => Promise<Answer>, expected: readonly number[], findings: string[]): Promise<Answer> {
  const deadline = performance.now() + RETRY_FOR_MS;
  for (let wait = 50; ; wait = Math.min(wait * 2, 1000)) {
    const answer = await ask().catch((error: unknown) => error as Error);
    if (!(answer instanceof Error)) {
      if (expected.includes(answer.status)) return answer;
      if (!PASSING.has(answer.status)) {
        findings.push(`${answer.status} ${answer.bytes.toString().slice(0, 200)}`);
        return answer;
      }
    }
    if (performance.now() > deadline) {
      findings.push(`no answer for ${RETRY_FOR_MS} ms: ${answer instanceof Error ? answer.message : answer.status}`);
      throw new Error('no answer');
    }
    await pause(wait * (0.5 + Math.random()));
  }
}

/** One computer that backs up, reads back and tries other people's doors until `until`. */
class Agent {
  readonly #client: ProtocolClient;
  readonly #vault: number;
  readonly #world: World;

  constructor(client: ProtocolClient, vault: number, world: World) {
    this.#client = client;
    this.#vault = vault;
    this.#world = world;
  }

  async work(until: number): Promise<void> {
    while (performance.now() < until) {
      await this.#send();
      await this.#readBack();
      await this.#tryOthers();
    }
  }

  async #send(): Promise<void> {
    const { findings, acknowledged } = this.#world;
    const pack = this.#client.seal(randomBytes(2000));
    await patiently(() => this.#client.put(pack), [200, 201], findings);
    const prepared = await this.#append(pack);
    if (prepared) acknowledged.push({ vault: this.#vault, id: prepared.id, packId: pack.packId });
  }

  /** On top of whatever the others of this vault appended meanwhile; the same bytes again until somebody answers. */
  async #append(pack: SealedPack): Promise<(Prepared & { id: SnapshotId }) | undefined> {
    const { findings } = this.#world;
    for (let tries = 0; tries < 50; tries++) {
      const prepared = this.#client.snapshot(pack);
      const answer = await patiently(() => this.#client.append(prepared), [200, 201, 409], findings);
      if (answer.status !== 409) return prepared;
      if (answer.code !== 'stale-head') {
        findings.push(`append: ${answer.bytes}`);
        return undefined;
      }
      await this.#catchUp();
    }
    findings.push('an agent never got its turn');
    return undefined;
  }

  async #catchUp(): Promise<void> {
    const answer = await patiently(() => this.#client.call('GET', pathOf('account')), [200], this.#world.findings);
    this.#client.head = (answer.json as unknown as { head: ProtocolClient['head'] }).head;
  }

  async #readBack(): Promise<void> {
    const own = this.#world.acknowledged.filter(({ vault }) => vault === this.#vault);
    const one = own[Math.floor(Math.random() * own.length)];
    if (one) await readPack(this.#client, one.packId, this.#world.findings);
  }

  /** What is safe in another vault is not there for this one (TN-03). */
  async #tryOthers(): Promise<void> {
    const others = this.#world.acknowledged.filter(({ vault }) => vault !== this.#vault);
    const one = others[Math.floor(Math.random() * others.length)];
    if (!one) return;
    const path = pathOf('pack', { packId: one.packId });
    const answer = await patiently(() => this.#client.call('GET', path), [404], this.#world.findings);
    if (answer.status === 200) this.#world.findings.push('somebody saw the data of another subscriber');
  }
}

async function readPack(client: ProtocolClient, packId: PackId, findings: string[]): Promise<void> {
  for (let tries = 0; tries < 5; tries++) {
    const answer = await patiently(() => client.call('GET', pathOf('pack', { packId })), [200], findings);
    if (answer.status === 200 && Buffer.from(sha256(answer.bytes)).toString('hex') === packId) return;
  }
  findings.push(`pack ${packId} is not what was sent`);
}

interface World {
  readonly findings: string[];
  readonly acknowledged: Acknowledged[];
}

async function settle<T>(lanes: number, items: readonly T[], act: (item: T, index: number) => Promise<void>) {
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const index = next++;
      await act(items[index] as T, index);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

describe('three servers behind a balancer, on one database and one bucket', () => {
  let dir: string;
  let fleet: Fleet;
  let database: string;

  beforeAll(async () => {
    if (lacks !== undefined) return;
    dir = await mkdtemp(join(tmpdir(), 'safe-fleet-'));
    const [postgres, s3] = [realPostgres(), realS3()];
    database = postgres.url;
    fleet = await new Fleet(dir, 3, { database, blobs: s3.blobs(), env: s3.env }).start();
  });

  afterAll(async () => {
    if (lacks !== undefined) return;
    await fleet[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  testWith(lacks)(
    `${VAULTS * DEVICES} agents lose nothing that was acknowledged while one server after the other is killed`,
    async () => {
      const vaults = await enrolAll(fleet, database);
      const world: World = { findings: [], acknowledged: [] };
      const until = performance.now() + SECONDS * 1000;
      const agents = vaults.flatMap((clients, vault) => clients.map((client) => new Agent(client, vault, world)));
      await Promise.all([crashUntil(fleet, until), ...agents.map((agent) => agent.work(until))]);
      expect([...new Set(world.findings)]).toEqual([]);
      expect(world.acknowledged.length).toBeGreaterThan(VAULTS * DEVICES);
      for (const [vault, [client]] of vaults.entries()) await checkVault(client as ProtocolClient, vault, world);
      expect([...new Set(world.findings)]).toEqual([]);
    },
  );

  testWith(lacks)('TN-27: guesses at codes are counted for all servers together', async () => {
    const statuses: number[] = [];
    for (let guess = 0; guess < 20; guess++) {
      const { url } = fleet.servers[guess % 3] as { url: string };
      const body = JSON.stringify({ code: 'AAAA-BBBB-CCCC-DDDD', name: 'x' });
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.9' };
      const answer = await fetch(`${url}${pathOf('devices')}`, { method: 'POST', body, headers });
      await answer.arrayBuffer();
      statuses.push(answer.status);
    }
    const first = statuses.indexOf(429);
    expect(first).toBe(10); // as many as one server alone lets pass
    expect(new Set(statuses.slice(first))).toEqual(new Set([429]));
  });
});

/** `DEVICES` computers for each of `VAULTS` subscribers: the first makes the vault, the others prove that they know its key. */
async function enrolAll(fleet: Fleet, database: string): Promise<ProtocolClient[][]> {
  const vaults: ProtocolClient[][] = Array.from({ length: VAULTS }, () => []);
  await settle(2, vaults, async (clients) => {
    const { number, enrolmentCode } = await fleet.first.addSubscriber();
    const maker = await ProtocolClient.withVault(fleet.url, enrolmentCode);
    clients.push(maker);
    for (const code of insertCodes(database, number, DEVICES - 1)) {
      const client = await ProtocolClient.enrol(fleet.url, code);
      const answer = await client.join(maker);
      expect(answer.status).toBe(200);
      clients.push(client);
    }
  });
  return vaults;
}

/** What `subscriber code` writes, without a start of the operator's program for each. */
function insertCodes(database: string, number: string, count: number): string[] {
  const codes = Array.from({ length: count }, () => randomBytes(8).toString('hex').toUpperCase());
  const rows = codes.map((code) => {
    const hash = createHash('sha256').update(`enrolment code ${code}`).digest('hex');
    return `('${hash}', '${number}', 'enrol', 0, 99999999999999)`;
  });
  const insert = `INSERT INTO code (code_hash, number, purpose, created_at, expires_at) VALUES ${rows.join(', ')}`;
  execFileSync('psql', [database, '--quiet', '--no-psqlrc', '--command', insert]);
  return codes;
}

async function crashUntil(fleet: Fleet, until: number): Promise<void> {
  for (let index = 0; performance.now() < until - 2 * CRASH_EVERY_MS; index = (index + 1) % fleet.servers.length) {
    await pause(CRASH_EVERY_MS);
    await fleet.crash(index);
  }
}

/** Every acknowledged snapshot is in the journal, once, its packs are there, and the quota is their sum (I1, I2, I7). */
async function checkVault(client: ProtocolClient, vault: number, { findings, acknowledged }: World): Promise<void> {
  const own = acknowledged.filter((one) => one.vault === vault);
  const subjects: string[] = [];
  for (let after = 0; ; ) {
    const page = await client.call('GET', `${pathOf('journal')}?after=${after}`);
    const frames = page.bytes.length === 0 ? [] : parseHistory(page.bytes);
    const last = frames.at(-1);
    if (last === undefined) break;
    subjects.push(...frames.map(({ entry }) => String(entry.subject)));
    after = last.entry.seq;
  }
  const shown = new Set(subjects);
  if (shown.size !== subjects.length) findings.push('an entry is twice in a journal');
  for (const { id } of own)
    if (!shown.has(id)) findings.push(`snapshot ${id} was acknowledged and is not in the journal`);
  await settle(4, own, ({ packId }) => readPack(client, packId, findings));
  const { usedBytes, usedObjects } = await client.used();
  if (usedObjects < own.length || usedBytes !== usedObjects * 256 * 1024)
    findings.push(`${usedBytes} bytes of ${usedObjects} packs are counted, ${own.length} acknowledged`);
}
