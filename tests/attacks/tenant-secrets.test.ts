import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import type { Finished } from '../support/process.ts';
import { ask } from '../support/protocol-client.ts';
import { SECRET, World } from '../support/world.ts';

const MANDATE = 'Rochat Zzyzx SA';
const CONTENT = 'Salaire confidentiel 8123.45 de Mme Quibble-Vorpal';
const FILE = 'licenciement-quibble.txt';
const WRONG_SECRET = 'une mauvaise clé 4711';
/** Files of an agent's home that hold a secret on purpose. */
const ALLOWED: Readonly<Record<string, string[]>> = {
  token: ['token'],
  'root.key': ['root'],
  'vault/share.bin': ['share'],
  'vault/requests/1': ['share'], // the entry that made the vault, kept to heal a server that lost it
};

let world: World;
let agent: Agent;
let printed = '';
/** name → every form in which it could be written down. */
let secrets: Map<string, Buffer[]>;

beforeAll(async () => {
  world = await World.create({ args: ['--log-level', 'trace'] });
  const { number, enrolmentCode } = await world.server.addSubscriber();
  agent = world.computer();
  const books = world.path('books');
  mkdirSync(books);
  writeFileSync(join(books, FILE), CONTENT.repeat(2_000));

  await run('connect', '--server', world.server.url, '--code', enrolmentCode, '--device', 'PC Zzyzx');
  await run('secret', 'set', '--json');
  await run('secret', 'remember');
  await run('mandate', 'add', MANDATE, '--path', books);
  await run('send', MANDATE, '--comment', 'avant Zzyzx');
  await run('status', '--json');
  await run('snapshots', MANDATE, '--json');
  const token = readFileSync(join(agent.home, 'token'), 'utf8').trim();
  const shareText = String((await get(token, pathOf('vault'))).json['share']);
  const headerText = String((await get(token, pathOf('vault'))).json['header']);

  await goWrong({ token, enrolmentCode, number, books, shareText });
  await run('restore', MANDATE, '--snapshot', 'latest', '--to', world.path('restored'));
  secrets = new Map(
    Object.entries({
      token: forms(Buffer.from(token)),
      code: [enrolmentCode, enrolmentCode.replaceAll('-', '')].flatMap((code) => forms(Buffer.from(code))),
      'secret key': forms(Buffer.from(SECRET.normalize('NFC'))),
      'wrong secret key': forms(Buffer.from(WRONG_SECRET.normalize('NFC'))),
      root: forms(Buffer.from(readFileSync(join(agent.home, 'root.key'), 'utf8').trim(), 'hex')),
      share: forms(Buffer.from(shareText, 'base64')),
      'content of a file': forms(Buffer.from(CONTENT)),
    }),
  );
  secrets.set('a piece of a body', [Buffer.from(headerText.slice(40, 120))]);
}, 240_000);
afterAll(() => world[Symbol.asyncDispose]());

const get = (token: string, path: string) =>
  ask(`${world.server.url}${path}`, { headers: { authorization: `Bearer ${token}` } });

async function run(...args: string[]): Promise<Finished> {
  const finished = await agent.run(args);
  printed += finished.stdout + finished.stderr;
  if (finished.code !== 0) throw new Error(`${args.join(' ')}: ${finished.code} ${finished.stderr}${finished.stdout}`);
  return finished;
}

/** Everything that is refused, since careless programs write down what they refuse. */
async function goWrong(known: {
  token: string;
  enrolmentCode: string;
  number: string;
  books: string;
  shareText: string;
}): Promise<void> {
  const { token, enrolmentCode, books } = known;
  const { url } = world.server;
  const json = { 'content-type': 'application/json' };
  const bearer = { authorization: `Bearer ${token}` };
  const bodies: [string, Record<string, string>, string][] = [
    ['devices', json, `{"code":"${enrolmentCode}","name":"x"`],
    ['devices', json, JSON.stringify({ code: enrolmentCode, name: 'x', token })],
    ['devices', json, JSON.stringify({ code: enrolmentCode, name: 'x' })], // used
    ['proof', { ...json, ...bearer }, JSON.stringify({ signature: token })],
    ['seen', { ...json, ...bearer }, JSON.stringify({ [token]: [CONTENT] })],
    ['journal', { 'content-type': 'application/octet-stream', ...bearer }, CONTENT],
    ['heal', { 'content-type': 'application/octet-stream', ...bearer }, CONTENT],
    ['journal', { 'content-type': CONTENT.slice(0, 20), ...bearer }, token],
  ];
  for (const [route, headers, body] of bodies) {
    const answer = await ask(`${url}${pathOf(route as 'seen')}`, { method: 'POST', headers, body: Buffer.from(body) });
    expect([route, answer.status >= 400]).toEqual([route, true]);
  }
  expect((await ask(`${url}/v1/account?token=${token}`)).status).toBe(401);
  expect((await ask(`${url}/v1/account`, { headers: { authorization: `Basic ${token}` } })).status).toBe(401);
  expect((await get(token, `/v1/journal?${token}=1`)).status).toBe(400);
  writeFileSync(join(books, 'more.txt'), CONTENT);
  const stranger = world.computer({ secret: WRONG_SECRET });
  const code = await world.server.newCode(known.number);
  for (const args of [
    ['connect', '--server', url, '--code', enrolmentCode, '--device', 'x'], // used
    ['connect', '--server', url, '--code', code, '--device', 'x'],
    ['secret', 'set'], // the wrong one
    ['snapshots', '--json'],
    ['restore', MANDATE, '--snapshot', 'latest', '--to', world.path('nothing'), '--json'],
  ]) {
    const finished = await stranger.run(args);
    printed += finished.stdout + finished.stderr;
  }
  await world.server.stop();
  const down = await agent.run(['send', MANDATE, '--json'], { timeoutMs: 100_000 });
  printed += down.stdout + down.stderr;
  expect(down.code).not.toBe(0);
  await world.server.start();
}

function forms(bytes: Buffer): Buffer[] {
  const encoded = (['hex', 'base64', 'base64url'] as const).map((encoding) =>
    bytes.toString(encoding).replace(/=+$/, ''),
  );
  // the last digits of base64 depend on what follows
  return [bytes, Buffer.from(encoded[0] ?? ''), ...encoded.slice(1).map((text) => Buffer.from(text.slice(0, -2)))];
}

/** Names of the secrets that stand in `text`. */
function found(text: Buffer): string[] {
  return [...secrets].filter(([, all]) => all.some((form) => text.includes(form))).map(([name]) => name);
}

function files(dir: string): [path: string, content: Buffer][] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .map((path) => [relative(dir, path), readFileSync(path)]);
}

describe('TN-47 secrets are written down nowhere', () => {
  it('TN-47 the test would find them', () => {
    for (const [name, all] of secrets)
      for (const form of all) {
        expect(form.length).toBeGreaterThan(10);
        expect(found(Buffer.concat([Buffer.from('x "'), form, Buffer.from('" y')]))).toContain(name);
      }
  });

  it('TN-47 the log of the server has none, nor any header or name of what is saved', () => {
    const { log } = world.server;
    expect(log.split('\n').filter((line) => line.includes('"request"')).length).toBeGreaterThan(20); // it did log
    expect(found(Buffer.from(log))).toEqual([]);
    expect(log).not.toMatch(/authorization|bearer|zzyzx|quibble/i);
  });

  it('TN-47 the folder of the server has none: tokens and codes as hashes, shares sealed, no name of what is saved', () => {
    const all = files(world.server.dataDir);
    expect(all.length).toBeGreaterThan(5);
    const vault = all.filter(([path]) => !path.startsWith('safe.sqlite')); // a device's name is the account's, sealed in the bucket
    for (const [path, content] of all)
      expect([path, found(content).filter((name) => name !== 'a piece of a body')]).toEqual([path, []]);
    for (const [path, content] of all)
      expect([path, content.includes(MANDATE), content.includes(FILE)]).toEqual([path, false, false]);
    for (const [path, content] of vault) expect([path, content.includes('Zzyzx')]).toEqual([path, false]);
  });

  it('TN-47 nothing that the agent prints has one', () => {
    expect(printed).toContain(MANDATE);
    expect(found(Buffer.from(printed))).toEqual([]);
    expect(printed).not.toMatch(/authorization|bearer/i);
  });

  it('TN-47 no file of the agent has one, but those that are for it, which nobody else can read', () => {
    const all = files(agent.home);
    expect(all.length).toBeGreaterThan(8);
    for (const [path, content] of all) expect([path, found(content)]).toEqual([path, ALLOWED[path] ?? []]);
    const mode = (path: string): number => statSync(join(agent.home, path)).mode & 0o777;
    for (const path of Object.keys(ALLOWED)) expect([path, mode(path)]).toEqual([path, 0o600]);
  });
});
