import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HttpRemote, homeAt, readToken } from '@cresus-safe/agent';
import {
  asHash,
  encodeEntry,
  encodePlan,
  encodeRequest,
  NO_MANDATE,
  packListHash,
  parseHeader,
  sha256,
  VaultKeys,
} from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { differences } from '../support/compare.ts';
import { lacksProgram, testWith } from '../support/faults.ts';
import { HostileServer } from '../support/hostile.ts';
import { withVault } from '../support/invariants.ts';
import { noise } from '../support/noise.ts';
import { Terminal } from '../support/pty.ts';
import { SECRET, World } from '../support/world.ts';

jest.setTimeout(180_000); // dozens of processes, on a busy machine too

const NEXT = 'la clé d’après le vol';
let world: World;
let line: HostileServer;
let first: Agent;
let second: Agent;
let books: string;
let before: string;
let oldVault: Buffer;
/** Everything on the stolen computer: its token and the root that it remembered. */
let stolen: Agent;

beforeAll(async () => {
  world = await World.create();
  line = await HostileServer.before(world.server.url);
  const household = await world.household();
  ({ first, books } = household);
  await first.send('Dupont SA', '--comment', 'avant');
  before = world.path('avant');
  cpSync(books, before, { recursive: true, preserveTimestamps: true });
  await first.json(['point', 'Dupont SA']);
  second = await world.connected(await world.server.newCode(household.subscriber.number), { url: line.url });
  await second.json(['anchor', '--without-anchor']);
  const answers = line.exchanges.filter(({ asked }) => asked.path === '/v1/vault');
  oldVault = answers.at(-1)?.answer?.body ?? Buffer.alloc(0);
  stolen = new Agent(world.path('voleur', 'cresus-safe'));
  cpSync(second.home, stolen.home, { recursive: true });
});
afterAll(async () => {
  await line[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

const rootOf = (agent: Agent): string => readFileSync(join(agent.home, 'root.key'), 'utf8').trim();

describe('a computer was stolen together with the secret key', () => {
  it('rotates, and says what that does, what it does not, and that a kit must be printed', async () => {
    const old = rootOf(first);
    const agent = first.with({ secret: SECRET, env: { CRESUS_SAFE_NEW_SECRET: NEXT } });
    const finished = await agent.run(['--lang', 'fr', 'secret', 'change', '--rotate']);
    expect([finished.code, finished.stderr]).toEqual([0, expect.anything()]);
    const said = finished.stdout + finished.stderr;
    expect(said).toMatch(/volé avec la clé secrète/);
    expect(said).toMatch(/reste lisible avec les anciennes clés/);
    expect(said).toMatch(/kit create/);
    // what was remembered here is the new root; the old one is in no file any more
    expect(rootOf(first)).not.toBe(old);
    expect(await first.run(['--lang', 'fr', 'secret', 'change', '--help'])).toMatchObject({
      stdout: expect.stringMatching(/--rotate/),
    });
  });

  it('the next send has nothing to send, and the one after only what changed', async () => {
    expect(await first.send('Dupont SA')).toMatchObject({ unchanged: true });
    writeFileSync(join(books, 'nouveau.txt'), noise('nouveau', 50_000));
    const sent = await first.send('Dupont SA', '--comment', 'après');
    expect(sent.newBytes).toBeLessThan(60_000);
    expect(sent.sentBytes).toBeLessThanOrEqual(512 * 1024);
  });

  testWith(lacksProgram('python3'))(
    'at a terminal, a computer that remembered the old key asks for the new one, once',
    async () => {
      const home = world.path('guichet', 'cresus-safe');
      cpSync(stolen.home, home, { recursive: true });
      const desk = new Agent(home);
      const screen = new Terminal(desk, ['snapshots', 'Dupont SA', '--lang', 'fr']);
      await screen.answer('Clé secrète : ', `${NEXT}\r`);
      expect(await screen.ends()).toBe(0);
      expect(screen.written).toContain('renouvelé les clés du coffre');
      expect(rootOf(desk)).toBe(rootOf(first));
      await desk.json(['snapshots', 'Dupont SA']);
    },
  );

  it('another computer is told, takes the typed key once, and remembers the new root in the place of the old', async () => {
    const refused = await second.refused(['verify']);
    expect(refused).toMatchObject({ exitCode: 4, error: { code: 'wrong-secret', details: { generation: 1 } } });
    expect(await second.with({ secret: SECRET }).refused(['snapshots', 'Dupont SA'])).toMatchObject({ exitCode: 4 });
    const typed = second.with({ secret: NEXT });
    const { snapshots } = await typed.json<{ snapshots: { id: string; comment: string }[] }>([
      'snapshots',
      'Dupont SA',
    ]);
    expect(snapshots.map(({ comment }) => comment).toSorted()).toEqual(['après', 'avant']);
    expect(rootOf(second)).toBe(rootOf(first));
    for (const [comment, folder] of [
      ['avant', before],
      ['après', books],
    ] as const) {
      const id = snapshots.find((one) => one.comment === comment)?.id ?? '';
      const target = world.path(`rendu ${comment}`);
      await second.restore('Dupont SA', '--snapshot', id, '--to', target);
      expect(differences(folder, target)).toEqual([]);
    }
    expect(await second.json(['verify', '--full'])).toMatchObject({ problems: [], checked: { snapshots: 2 } });
    const file = world.path('recus.json');
    await second.json(['receipts', '--export', file]);
    expect(await world.computer({}).json(['receipts', 'verify', file])).toMatchObject({ valid: 4 });
  });

  it('the automatic points open as before, also when only the root of the Safe is there', async () => {
    expect(existsSync(join(first.home, 'points/root.sealed'))).toBe(true);
    writeFileSync(join(first.home, 'points/root.key'), '{}'); // damaged
    await first.send('Dupont SA');
    expect(await first.json(['points', 'Dupont SA'])).toMatchObject({ points: [{}] });
  });

  it('R-01 the stolen token with the old root reads nothing new and appends nothing: the server refuses old signatures', async () => {
    expect(await stolen.refused(['snapshots', 'Dupont SA'])).toMatchObject({ exitCode: 4 });
    expect(await stolen.refused(['kit', 'create', world.path('kit-du-voleur.html')])).toMatchObject({ exitCode: 4 });
    const header = parseHeader(Buffer.from((JSON.parse(oldVault.toString()) as { header: string }).header, 'base64'));
    const keys = VaultKeys.fromRoot(header, Buffer.from(rootOf(stolen), 'hex'));
    const head = await withVault(first, async ({ history }) => ({ seq: history.seq, tip: history.state.tip }));
    const home = homeAt(stolen.home);
    const { deviceId } = JSON.parse(readFileSync(home.config, 'utf8')) as { deviceId: never };
    const attachment = encodePlan({ allDays: 40, weeklyDays: 400, monthlyDays: 4000 });
    const remote = new HttpRemote({ url: world.server.url, token: readToken(home) });
    try {
      for (const generation of [0, 1]) {
        const common = {
          kind: 'plan',
          vaultId: keys.vaultId,
          seq: head.seq + 1,
          previous: head.tip,
          deviceId,
        } as const;
        const rest = { mandateRef: NO_MANDATE, holdUntil: 0, subject: asHash(sha256(attachment)) };
        const fields = { ...common, ...rest, generation, packListHash: packListHash([]), summary: new Uint8Array(0) };
        const entry = encodeEntry(fields, (message) => keys.sign('entry', message, 0));
        const request = encodeRequest({ entry, packIds: [], attachment, share: new Uint8Array(0) });
        await expect(remote.append(request)).rejects.toMatchObject({ details: { code: 'bad-signature' } });
      }
    } finally {
      remote.close();
    }
    expect(await withVault(first, async ({ history }) => history.seq)).toBe(head.seq);
  });

  it('MS-08 a server that goes back to the header of before the rotation is refused', async () => {
    line.onAnswer = ({ path }, answer) => (path === '/v1/vault' ? { ...answer, body: oldVault } : undefined);
    const refused = await second.with({ secret: SECRET }).refused(['snapshots', 'Dupont SA']);
    expect(refused).toMatchObject({ exitCode: 11, error: { code: 'rollback' } });
    line.reset();
    await second.json(['snapshots', 'Dupont SA']);
  });
});
