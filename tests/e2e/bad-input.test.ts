import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent, Refusal, Verified } from '../support/agent.ts';
import { makeBooks, workOneDay } from '../support/books.ts';
import { copyTree, describeTree, differences } from '../support/compare.ts';
import { lacksSmallDisk, SmallDisk, testWith } from '../support/faults.ts';
import { type HonestAnswer, HostileServer, json } from '../support/hostile.ts';
import { until } from '../support/process.ts';
import type { Subscriber } from '../support/server.ts';
import { SECRET, World } from '../support/world.ts';

/** Every mistake and mishap: its message with a way out, its exit code, and nothing lost. */
describe('when something is wrong', () => {
  let world: World;
  let line: HostileServer;
  let subscriber: Subscriber;
  let first: Agent;
  let books: string;
  let before: Map<string, string>;

  beforeAll(async () => {
    world = await World.create();
    line = await HostileServer.before(world.server.url);
    const household = await world.household({ scale: 0.005 });
    ({ subscriber, books } = household);
    await household.first.send('Dupont SA');
    first = household.first;
    redirectTo(first, line.url);
    before = describeTree(books);
  });
  afterEach(() => line.reset());
  afterAll(async () => {
    await line[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  const send = ['send', 'Dupont SA'];
  const expectError = (refusal: Refusal, exitCode: number, code: string): void => {
    const { error, finished } = refusal;
    expect({ exitCode: refusal.exitCode, code: error.code }).toEqual({ exitCode, code });
    expect(error.message.length).toBeGreaterThan(10);
    expect(`${error.message} ${error.hint}`).not.toMatch(/undefined|\{\{|\[object|Error:| at /);
    expect(finished.stdout.trim().split('\n')).toHaveLength(1);
  };

  it('a short secret key is refused with the least length', async () => {
    const code = (await world.server.addSubscriber({ name: 'Court' })).enrolmentCode;
    const other = world.computer({ secret: 'sept777' });
    await other.connect(world.server.url, code);
    const refusal = await other.refused(['secret', 'set']);
    expectError(refusal, 2, 'short-secret');
    expect(refusal.error.message).toContain('8');
    expect(await other.with({ secret: 'huit8888' }).json(['secret', 'set'])).toHaveProperty('vaultId');
  });

  it('a second vault is refused where one exists', async () => {
    expectError(await first.with({ secret: SECRET }).refused(['secret', 'set']), 2, 'usage');
  });

  it('an unknown command, flag, mandate', async () => {
    expectError(await first.refused(['sned']), 2, 'usage');
    expectError(await first.refused([...send, '--comet', 'x']), 2, 'usage');
    expectError(await first.refused(['send', 'Inconnu SA']), 14, 'not-found');
    expectError(await first.refused(['snapshots', 'Inconnu SA']), 14, 'not-found');
    expectError(await first.refused(['ui']), 2, 'usage'); // of the contract, not in this version
  });

  it('a mandate whose path is missing, inside another one, around it, or taken', async () => {
    const add = (name: string, path: string) => first.refused(['mandate', 'add', name, '--path', path]);
    expectError(await add('Rossi', world.path('nowhere')), 14, 'path-missing');
    expectError(await add('Rossi', join(books, 'documents')), 2, 'nested-mandate');
    expectError(await add('Rossi', world.dir), 2, 'nested-mandate');
    mkdirSync(world.path('rossi'));
    expectError(await add('dupont sa', world.path('rossi')), 2, 'usage');
    expectError(await add('Un nom beaucoup trop long', world.path('rossi')), 2, 'usage');
  });

  it('a mandate whose folder went away', async () => {
    copyTree(books, world.path('elsewhere'));
    rmSync(books, { recursive: true });
    expectError(await first.refused(send), 14, 'path-missing');
    copyTree(world.path('elsewhere'), books);
    expect(await first.json(send)).toBeTruthy();
  });

  it('a server that is away', async () => {
    redirectTo(first, 'http://127.0.0.1:9');
    expectError(await first.with({ timeoutMs: 100_000 }).refused(send), 9, 'unreachable');
    redirectTo(first, line.url);
  });

  it('plain HTTP to anything but this machine', async () => {
    const code = await world.server.newCode(subscriber.number);
    const connect = ['connect', '--server', 'http://192.0.2.1:8787', '--code', code];
    expectError(await world.computer().refused(connect), 2, 'plain-http');
  });

  it('another server at the same address: nothing is made or sent there', async () => {
    await using other = await World.create();
    line.onRequest = async ({ path, method, headers, body }) => {
      const { authorization = '' } = headers;
      const asked = { method, headers: { authorization }, ...(body.length > 0 && { body: new Uint8Array(body) }) };
      const answer = await fetch(other.server.url + path, asked);
      const type = answer.headers.get('content-type') ?? '';
      return {
        status: answer.status,
        headers: { 'content-type': type },
        body: Buffer.from(await answer.arrayBuffer()),
      };
    };
    expectError(await first.refused(send), 9, 'device-revoked'); // it does not know this computer
    expect(line.exchanges.map(({ asked }) => asked.method)).not.toContain('PUT');
  });

  it('a code that is wrong, used, or expired', async () => {
    const connect = (code: string) =>
      world.computer().refused(['connect', '--server', world.server.url, '--code', code]);
    expectError(await connect('AAAA-BBBB-CCCC-DDDD'), 9, 'code-refused');
    expectError(await connect(subscriber.enrolmentCode), 9, 'code-refused');
    const code = await world.server.newCode(subscriber.number);
    const db = new DatabaseSync(join(world.server.dataDir, 'safe.sqlite'));
    db.exec('pragma busy_timeout = 5000; update code set expires_at = 1000 where used_at is null');
    db.close();
    expectError(await connect(code), 9, 'code-refused');
  });

  it('a clock that is wrong by a year is a warning, and changes nothing else', async () => {
    const year = 365 * 86_400_000;
    line.onAnswer = ({ path }, answer) =>
      path === '/v1/account' ? changed(answer, { serverTime: Date.now() - year }) : undefined;
    const { warnings } = await first.json<{ warnings: { code: string }[] }>(['status']);
    expect(warnings.map(({ code }) => code)).toContain('clock');
    expect((await first.run(send)).code).toBe(0);
  });

  it('another server in its place is noticed also when there is nothing to send', async () => {
    expect((await first.send('Dupont SA')).unchanged).toBe(true);
    line.onAnswer = ({ path }, answer) =>
      path === '/v1/account' ? changed(answer, { serverId: 'ab'.repeat(16) }) : undefined;
    expectError(await first.refused(send), 10, 'wrong-server');
  });

  it('a verification that reads nothing says that the server’s word is all there is; one that reads does not', async () => {
    const listed = await first.run(['verify', '--lang', 'en']);
    expect([listed.code, listed.stdout]).toEqual([0, expect.stringContaining("is the server's word only")]);
    const read = await first.run(['verify', '--full', '--lang', 'en']);
    expect([read.code, read.stdout]).toEqual([0, expect.stringContaining('Everything is in order')]);
    expect(read.stdout).not.toContain("server's word");
  });

  it('a second run at the same time ends by itself and leaves the first one alone', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let waiting = false;
    line.onRequest = async () => {
      waiting = true;
      await held;
      return undefined;
    };
    const running = first.run(send);
    await until(
      () => waiting || undefined,
      () => 'the first run sends no request',
    );
    expectError(await first.refused(send), 16, 'another-run');
    release();
    expect(await running).toMatchObject({ code: 0 });
  });

  it.each(['vault/history.log', 'vault/pin.json', 'chunks.idx', 'files.cat'])(
    'a damaged %s is rebuilt, with a warning',
    async (name) => {
      const file = find(first.home, name);
      for (const damage of [() => truncateSync(file, 17), () => writeFileSync(file, 'not what it was'.repeat(40))]) {
        damage();
        writeFileSync(join(books, 'journal.txt'), `${name} ${performance.now()}`); // something to send, so that all is read
        before = describeTree(books);
        const finished = await first.run([...send, '--json']);
        expect(finished).toMatchObject({ code: 0 });
        expect(finished.stderr).toContain('"warning"');
        expect(existsSync(file)).toBe(true);
      }
    },
  );

  it('a damaged header is fetched again: the pin decides whether it is the right one', async () => {
    const file = find(first.home, 'vault/header.bin');
    const genuine = readFileSync(file);
    writeFileSync(file, genuine.subarray(0, 20));
    await first.json(send);
    expect(readFileSync(file).equals(genuine)).toBe(true);
  });

  testWith(lacksSmallDisk())('a full or read-only disk on the side of the agent', async () => {
    const target = world.path('small');
    await using disk = await SmallDisk.over(target, '512k');
    const here = first.with({ wrap: disk.wrap });
    const restore = ['restore', 'Dupont SA', '--snapshot', 'latest', '--to', join(target, 'restored')];
    expectError(await here.refused(restore), 15, 'disk-full');
    expect(existsSync(join(disk.outside, 'restored'))).toBe(false);
    disk.resize('20m');
    disk.setReadOnly(true);
    expectError(await here.refused(restore), 15, 'read-only');
    disk.setReadOnly(false);
    await here.json(restore);
    expect(differences(books, join(disk.outside, 'restored'))).toEqual([]);
  });

  it('has lost nothing after all this', async () => {
    expect(describeTree(books)).toEqual(before);
    const { problems } = await first.json<Verified>(['verify', '--full']);
    expect(problems).toEqual([]);
    workOneDay(books, 1, { scale: 0.005 });
    await first.json(send);
    await first.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('at-the-end'));
    expect(differences(books, world.path('at-the-end'))).toEqual([]);
  });
});

describe('when the disk of the server is full', () => {
  testWith(lacksSmallDisk())('sending is refused for now, restoring goes on, and it resumes', async () => {
    await using world = new World();
    await using disk = await SmallDisk.over(world.server.dataDir, '12m');
    world.server.options = { wrap: disk.wrap, env: { SAFE_RESERVE_MIB: '2' } };
    await world.server.start();
    const { enrolmentCode } = await world.server.addSubscriber();
    const first = await world.connected(enrolmentCode);
    const books = world.path('books');
    makeBooks(books, { scale: 0.005 });
    await first.json(['mandate', 'add', 'Dupont SA', '--path', books]);
    await first.send('Dupont SA');
    writeFileSync(join(books, 'scan.tif'), randomBytes(14_000_000));
    const refusal = await first.refused(['send', 'Dupont SA']);
    expect({ exitCode: refusal.exitCode, code: refusal.error.code }).toEqual({ exitCode: 9, code: 'storage-full' });
    await first.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('meanwhile'));
    disk.resize('80m');
    expect(await first.send('Dupont SA')).toMatchObject({ unchanged: false, problems: [] });
    await first.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('at-the-end'));
    expect(differences(books, world.path('at-the-end'))).toEqual([]);
  });
});

/** Makes the agent find its server at another address, as a changed name record would. */
function redirectTo(agent: Agent, url: string): void {
  const file = join(agent.home, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as { server: { url: string } };
  config.server.url = url;
  writeFileSync(file, JSON.stringify(config));
}

function changed(answer: HonestAnswer, facts: Readonly<Record<string, unknown>>): ReturnType<typeof json> {
  return json({ ...(JSON.parse(answer.body.toString()) as object), ...facts }, answer.status);
}

function find(home: string, name: string): string {
  const found = readdirSync(home, { recursive: true, encoding: 'utf8' }).find((path) => path.endsWith(name));
  if (found === undefined) throw new Error(`no ${name} below ${home}`);
  return join(home, found);
}
