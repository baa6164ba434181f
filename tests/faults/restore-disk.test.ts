import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { faultEnv, faultsMet, lacksFaults, lacksSmallDisk, SmallDisk, testWith } from '../support/faults.ts';
import { noise } from '../support/noise.ts';
import { World } from '../support/world.ts';

const NAME = 'Dupont SA';
const BOOK_BYTES = 3_000_000;

describe('F-25 replacing a mandate without room', () => {
  const world = new World(); // its server is never started: points and copies need none
  let disk: SmallDisk;
  let agent: Agent;
  let books: string;

  const it = testWith(lacksSmallDisk());
  const onlyIt = testWith(lacksSmallDisk() ?? lacksFaults());

  beforeAll(async () => {
    if (lacksSmallDisk() !== undefined) return;
    // the mandate on a volume of its own: no rename leads from the home to it
    disk = await SmallDisk.over(join(process.cwd(), '.cache', `mandates-${process.pid}`), '64m');
    agent = new Agent(world.path('computer', 'cresus-safe'), { wrap: disk.wrap });
    books = join(disk.outside, 'Dupont');
    mkdirSync(books);
    writeFileSync(join(books, 'compta.cre'), noise('livre', BOOK_BYTES));
    await agent.json(['mandate', 'add', NAME, '--path', join(disk.dir, 'Dupont')]);
    await agent.json(['point', NAME]);
    await agent.json(['copy', NAME, world.path('c.pe-backup')]);
    writeFileSync(join(books, 'compta.cre'), 'travail');
  });
  afterAll(async () => {
    await disk?.[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
    if (disk) rmSync(disk.dir, { recursive: true, force: true });
  });

  const into = ['restore', NAME, '--copy', world.path('c.pe-backup'), '--into-current', '--accept-replace'];
  const beside = (): string[] => readdirSync(dirname(books));

  it('F-25 of the mandate’s volume, known beforehand: exit 15, nothing written', async () => {
    disk.resize('12m');
    expect(await agent.refused(into)).toMatchObject({ exitCode: 15, error: { code: 'disk-full' } });
    expect([beside(), readFileSync(join(books, 'compta.cre'), 'utf8')]).toEqual([['Dupont'], 'travail']);
    disk.resize('64m');
  });

  onlyIt.each(['write', 'mkdir', 'rename'] as const)(
    'F-25 of the mandate’s volume, at a %s: exit 15, the mandate as it was',
    async (call) => {
      const log = world.path(`log-${call}`);
      const env = faultEnv({ below: disk.dir, calls: [call], log });
      const finished = await agent.run([...into, '--json'], { env });
      expect(faultsMet(log).length).toBeGreaterThan(0);
      expect([finished.code, JSON.parse(finished.stdout)]).toMatchObject([15, { error: { code: 'disk-full' } }]);
      expect([beside(), readFileSync(join(books, 'compta.cre'), 'utf8')]).toEqual([['Dupont'], 'travail']);
    },
  );

  onlyIt('F-25 of the home: without a safety point nothing is replaced', async () => {
    const log = world.path('log-home');
    const env = faultEnv({ below: join(agent.home, 'points', 'store'), calls: ['write'], log });
    const finished = await agent.run([...into, '--json', '--lang', 'fr'], { env });
    expect(faultsMet(log).length).toBeGreaterThan(0);
    expect([finished.code, JSON.parse(finished.stdout)]).toMatchObject([
      15,
      {
        error: {
          code: 'disk-full',
          message: expect.stringContaining("Rien n'a été remplacé"),
          details: { mandate: NAME },
        },
      },
    ]);
    expect([beside(), readFileSync(join(books, 'compta.cre'), 'utf8')]).toEqual([['Dupont'], 'travail']);
  });

  it('a mandate on another volume than the home is replaced, and undone', async () => {
    expect(await agent.restore(...into.slice(1))).toMatchObject({ verified: true, replacedKept: null });
    expect(readFileSync(join(books, 'compta.cre')).equals(noise('livre', BOOK_BYTES))).toBe(true);
    await agent.json(['restore', '--undo']);
    expect([beside(), readFileSync(join(books, 'compta.cre'), 'utf8')]).toEqual([['Dupont'], 'travail']);
  });

  it('a mandate that is itself the root of a volume cannot be swapped, and says so', async () => {
    await agent.json(['restore', NAME, '--point', 'latest', '--to', join(disk.dir, 'Racine')]);
    rmSync(join(disk.outside, 'Racine'), { recursive: true });
    await agent.json(['mandate', 'remove', NAME]);
    await agent.json(['mandate', 'add', 'Racine', '--path', disk.dir]);
    const refusal = await agent.refused([...into.with(1, 'Racine')]);
    expect(refusal).toMatchObject({ exitCode: 15, error: { code: 'permission' } });
    expect(readFileSync(join(books, 'compta.cre'), 'utf8')).toBe('travail');
  });
});
