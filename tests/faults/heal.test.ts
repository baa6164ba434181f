import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { homeAt, loadConfig } from '@cresus-safe/agent';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Agent, type SentSnapshot } from '../support/agent.ts';
import { copyTree, differences } from '../support/compare.ts';
import { noise } from '../support/noise.ts';
import type { Subscriber } from '../support/server.ts';
import { World } from '../support/world.ts';

jest.setTimeout(240_000); // dozens of processes

interface ScrubReport {
  readonly packs: number;
  readonly framesWritten: number;
  readonly damaged: readonly {
    readonly packId: string;
    readonly kind: string;
    readonly snapshots: readonly number[];
  }[];
  readonly lostRecords: readonly { readonly seq: number }[];
}
interface Healing {
  readonly healed?: { readonly packs: number; readonly snapshots: number; readonly damaged: number };
  readonly snapshots: readonly SentSnapshot[];
}

const MANDATE = 'Dupont SA';
let world: World;
let subscriber: Subscriber;
let agent: Agent;
let books: string;
let sent: { readonly id: string; readonly seq: number; readonly copy: string }[];

beforeEach(async () => {
  world = await World.create();
  subscriber = await world.server.addSubscriber();
  agent = await world.connected(subscriber.enrolmentCode);
  books = world.path('books');
  sent = [];
  mkdirSync(books);
  writeFileSync(join(books, 'comptabilite.cre'), noise('books', 700_000));
  await agent.json(['mandate', 'add', MANDATE, '--path', books]);
});
afterEach(() => world[Symbol.asyncDispose]());

/** One more document and one more snapshot; all that older ones hold stays on the disk. */
async function work(name: string, bytes = 300_000): Promise<void> {
  writeFileSync(join(books, `${name}.pdf`), noise(name, bytes));
  await send();
}

async function send(): Promise<void> {
  const { id, seq } = await agent.send(MANDATE);
  const copy = world.path(`sent-${sent.length}`);
  copyTree(books, copy);
  sent.push({ id, seq, copy });
}

function blobs(kind: 'p' | 'j'): string {
  const { vaultId = '' } = loadConfig(homeAt(agent.home));
  return join(world.server.dataDir, 'blobs', 'v', vaultId, kind);
}

const packs = (): string[] => readdirSync(blobs('p')).toSorted();

function flip(packId: string): void {
  const path = join(blobs('p'), packId);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  rmSync(path);
  writeFileSync(path, bytes);
}

async function scrub(code: number): Promise<ScrubReport> {
  const finished = await world.server.operate('scrub', '--json');
  if (finished.code !== code) throw new Error(`scrub: ${finished.code}\n${finished.stdout}${finished.stderr}`);
  return JSON.parse(finished.stdout) as ScrubReport;
}

/** Every snapshot restores byte for byte on a computer that never saw anything, and the whole verifies there. */
async function restoresAnew(snapshots = sent): Promise<void> {
  const next = await world.connected(await world.server.newCode(subscriber.number));
  for (const { id, copy } of snapshots) {
    const to = world.path(`to-${id.slice(0, 8)}-${Math.random()}`);
    await next.json(['restore', MANDATE, '--snapshot', id, '--to', to]);
    expect(differences(copy, to, { times: false })).toEqual([]);
  }
}

describe('a server that loses packs', () => {
  it('R-06, MS-25: one that is gone and one that is rotten are healed from the disk, and every old snapshot restores on a new computer', async () => {
    await work('facture');
    await work('contrat');
    await work('salaires');
    const [first = '', second = ''] = packs();
    rmSync(join(blobs('p'), first));
    flip(second);
    const report = await scrub(1);
    expect(report.damaged.map(({ packId, kind }) => [packId, kind])).toEqual(
      expect.arrayContaining([
        [first, 'missing'],
        [second, 'rotten'],
      ]),
    );
    expect(report.damaged).toHaveLength(2);
    const { warnings } = await agent.json<{ warnings: { code: string; message: string }[] }>(['status']);
    expect(warnings.map(({ code }) => code)).toContain('snapshots-damaged');
    const healing = await agent.json<Healing>(['send', MANDATE]);
    expect(healing.healed).toEqual({ packs: 2, snapshots: expect.any(Number), damaged: 0 });
    expect(healing.snapshots[0]).toMatchObject({ unchanged: true, sentBytes: 0 });
    await restoresAnew();
    expect((await scrub(0)).damaged).toEqual([]);
    const { problems } = await agent.json<{ problems: unknown[] }>(['verify', MANDATE, '--full']);
    expect(problems).toEqual([]);
    expect((await agent.json<Healing>(['send', MANDATE])).healed).toBeUndefined();
  });

  it('R-06: what is no longer on the disk stays damaged and is told; newer snapshots are whole', async () => {
    await work('facture');
    rmSync(join(books, 'facture.pdf'));
    await work('contrat');
    for (const packId of packs()) rmSync(join(blobs('p'), packId));
    await scrub(1);
    const healing = await agent.json<Healing>(['send', MANDATE]);
    expect(healing.healed).toMatchObject({ damaged: 2 });
    writeFileSync(join(books, 'neuf.pdf'), noise('neuf', 50_000));
    await send();
    await restoresAnew(sent.slice(-1));
  });

  it('R-06: an agent that is killed at any step of it heals at its next send', async () => {
    await work('facture');
    await work('contrat');
    for (const point of ['heal-dropped', 'heal-sent', 'heal-committed']) {
      for (const packId of packs()) rmSync(join(blobs('p'), packId));
      await scrub(1);
      expect(await agent.dies(point, 1, ['send', MANDATE])).toBe(true);
      await agent.json(['send', MANDATE]);
      expect((await scrub(0)).damaged).toEqual([]);
    }
    await restoresAnew();
  });

  it('R-06: two computers that heal at once both end well, and the packs are replaced once', async () => {
    await work('facture');
    await work('contrat');
    cpSync(agent.home, world.path('twin'), { recursive: true });
    const twin = new Agent(world.path('twin'), agent.options);
    for (const packId of packs()) rmSync(join(blobs('p'), packId));
    await scrub(1);
    const both = await Promise.all([agent, twin].map((each) => each.json<Healing>(['send', MANDATE])));
    expect(both.map(({ healed }) => healed?.damaged ?? 0)).toEqual([0, 0]);
    await restoresAnew();
    expect((await scrub(0)).damaged).toEqual([]);
  });

  it('F-36: a bucket restored from an older copy is made whole by the server and its agents', async () => {
    await work('facture');
    cpSync(join(world.server.dataDir, 'blobs'), world.path('older'), { recursive: true });
    await work('contrat');
    await work('salaires');
    await world.server.stop();
    renameSync(join(world.server.dataDir, 'blobs'), world.path('newer'));
    renameSync(world.path('older'), join(world.server.dataDir, 'blobs'));
    await world.server.start();
    const report = await scrub(1);
    expect(report.damaged.length).toBeGreaterThanOrEqual(2);
    expect(report.damaged.every(({ kind }) => kind === 'missing')).toBe(true);
    expect(report.lostRecords.map(({ seq }) => seq)).toEqual(sent.slice(1).map(({ seq }) => seq));
    const healing = await agent.json<Healing>(['send', MANDATE]);
    expect(healing.healed).toMatchObject({ damaged: 0 });
    await restoresAnew();
    const after = await scrub(0);
    expect([after.damaged, after.lostRecords]).toEqual([[], []]);
  });
});
