import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PACK_GRANULE_BYTES, parseHistory } from '@cresus-safe/protocol/public';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { SubscriberEntity } from '../accounts/entities.ts';
import type { CrashPoint } from '../crash.ts';
import { SCHEMA } from '../db/entities.ts';
import { Db } from '../db/unit-of-work.ts';
import { addDevice, Client, makePack, subscriberRow } from './conversation.test.bed.ts';
import { EntryEntity, VaultEntity } from './entities.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

let dir: string;
let running: ChildProcess | undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'safe-crash-'));
});

afterEach(async () => {
  if (running?.exitCode === null && running.signalCode === null) {
    running.kill('SIGKILL');
    await once(running, 'exit');
  }
  await rm(dir, { recursive: true, force: true });
});

/** Starts the real program; resolves with its address once it listens. */
async function start(crashAt = ''): Promise<string> {
  const child = spawn(
    process.execPath,
    ['--conditions=@cresus-safe/source', MAIN, 'serve', '--data-dir', join(dir, 'data'), '--listen', '127.0.0.1:0'],
    { env: { ...process.env, NODE_OPTIONS: '', SAFE_CRASH_AT: crashAt }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  running = child;
  let output = '';
  for await (const chunk of child.stdout) {
    output += String(chunk);
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0];
    if (url !== undefined) {
      child.stdout.resume();
      child.stderr.resume();
      return url;
    }
  }
  throw new Error(`the server did not start: ${output}`);
}

async function died(): Promise<NodeJS.Signals | null> {
  if (running === undefined) throw new Error('nothing runs');
  if (running.signalCode === null && running.exitCode === null) await once(running, 'exit');
  return running.signalCode;
}

async function withDb<T>(work: (db: Db) => Promise<T>): Promise<T> {
  const db = await Db.open(join(dir, 'data', 'safe.sqlite'), SCHEMA);
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}

/** A subscriber with one device, as if it had enrolled; the server does not run meanwhile. */
async function enrol(url: string): Promise<Client> {
  const client = new Client(url, '1001');
  await withDb(async (db) => {
    await db.write((m) => m.insert(SubscriberEntity, subscriberRow('1001')));
    await addDevice(db, client, 'active');
  });
  return client;
}

/** `:2` where creating the vault passes the point first. */
const POINTS: [`${CrashPoint}${'' | ':2'}`, 'pack' | 'append', number][] = [
  ['pack-pending', 'pack', 201],
  ['pack-temp', 'pack', 201],
  ['pack-renamed', 'pack', 201],
  ['pack-stored', 'pack', 200],
  ['append-row:2', 'append', 201],
  ['append-committed:2', 'append', 200],
  ['append-mirrored:2', 'append', 200],
];

test.each(POINTS)(
  'R-08, F-13 to F-16: killed at %s, the %s is repeated and has happened once',
  async (point, step, again) => {
    const url = await start(point);
    const client = await enrol(url);
    expect((await client.createVault()).status).toBe(201);
    const pack = makePack();
    const put = () => client.call('PUT', `/v1/packs/${pack.id}`, Buffer.from(pack.bytes));
    if (step === 'append') expect((await put()).status).toBe(201);
    const snapshot = client.snapshot([pack.id]);
    const append = () => client.call('POST', '/v1/journal', snapshot.bytes);
    await expect(step === 'pack' ? put() : append()).rejects.toThrow('fetch failed');
    expect(await died()).toBe('SIGKILL');
    client.url = await start();
    const temps = await readdir(join(dir, 'data', 'blobs', 'tmp'));
    expect(temps.filter((name) => !name.includes(`-${running?.pid}-`))).toEqual([]);
    if (step === 'pack') {
      expect((await put()).status).toBe(again);
      expect((await append()).status).toBe(201);
    } else expect((await append()).status).toBe(again);
    const { frames, receipts } = await journal(client);
    expect(frames.map(({ entry }) => entry.kind)).toEqual(['vault-create', 'snapshot-add']);
    expect((await append()).json['receipt']).toBe(receipts[1]);
    expect((await client.call('GET', `/v1/packs/${pack.id}`)).bytes.equals(pack.bytes)).toBe(true);
    expect((await client.call('GET', `/v1/records/${snapshot.id}`)).status).toBe(200);
    const [vault, entries] = await withDb((db) =>
      db.read(async (m) => [await m.findOneByOrFail(VaultEntity, {}), await m.find(EntryEntity)] as const),
    );
    expect(vault).toMatchObject({ headSeq: 2, usedBytes: PACK_GRANULE_BYTES });
    expect(entries.map(({ mirrored }) => mirrored)).toEqual([true, true]);
  },
);

async function journal(client: Client) {
  const { bytes } = await client.call('GET', '/v1/journal');
  const frames = parseHistory(bytes);
  return { frames, receipts: frames.map(({ receipt }) => Buffer.from(receipt.encoded).toString('base64')) };
}
