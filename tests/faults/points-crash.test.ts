import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { Clock } from '../support/clock.ts';
import { noise } from '../support/noise.ts';
import { leftovers, readPoints } from '../support/points-home.ts';

const DAY = 86_400_000;
const MANDATE = 'Dupont SA';

let dir: string;
let agent: Agent;
let clock: Clock;
/** A home that never made a point. */
let unused: string;
let changes = 0;

const work = (): void => {
  changes += 1;
  clock.advance(DAY);
  writeFileSync(join(dir, 'books', 'livre.cre'), noise(`livre ${changes}`, 40_000));
  writeFileSync(join(dir, 'books', `piece-${changes % 5}.txt`), noise(`piece ${changes}`, 3000));
};
const make = async (computer = agent): Promise<string> => {
  const { points } = await computer.json<{ points: { id: string }[] }>(['point', MANDATE]);
  return points[0]?.id ?? '';
};
const point = ['point', MANDATE];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cresus-safe-points-crash-'));
  clock = new Clock(join(dir, 'clock'));
  agent = new Agent(join(dir, 'computer', 'cresus-safe'), { env: clock.env });
  mkdirSync(join(dir, 'books'));
  writeFileSync(join(dir, 'books', 'archive.pdf'), noise('archive', 600_000));
  work();
  await agent.json(['mandate', 'add', MANDATE, '--path', join(dir, 'books')]);
  await agent.json(['points', '--keep-all', '0', '--keep-daily', '0', '--keep-weekly', '0']);
  unused = join(dir, 'unused');
  cpSync(agent.home, unused, { recursive: true });
  await make();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('F-02 an agent that is killed while it makes and removes points', () => {
  it.each(['points-root', 'header-before', 'point-request', 'header-acked'])(
    'F-02 at %s of the very first use: the next run makes the store and the point',
    async (crash) => {
      const fresh = new Agent(join(dir, `fresh-${crash}`, 'cresus-safe'), { env: clock.env });
      cpSync(unused, fresh.home, { recursive: true });
      expect(await fresh.dies(crash, 1, point)).toBe(true);
      const id = await make(fresh);
      const { points, spare } = await readPoints(fresh.home, clock.now);
      expect([points.map((one): string => one.id), spare, leftovers(fresh.home)]).toEqual([[id], [], []]);
    },
  );

  // each run makes a point and, by this plan, removes the one of the day before with its packs
  it.each([
    ['scan', 1],
    ['pack-open', 1],
    ['pack-acked', 1],
    ['before-commit', 1],
    ['point-request', 2],
    ['point-journal', 2],
    ['commit-acked', 2],
    ['point-forgotten', 1],
    ['point-unindexed', 1],
    ['point-swept', 1],
    ['state-temp', 3],
    ['state-renamed', 3],
  ])('F-02 at %s: no point that was there is lost, and the next run ends the work', async (crash, least) => {
    let kills = 0;
    let before = (await readPoints(agent.home, clock.now)).points[0]?.id;
    for (let n = 1; ; n += crash.startsWith('state-') ? 2 : 1) {
      work();
      if (!(await agent.dies(crash, n, point))) break;
      kills += 1;
      const killed = await readPoints(agent.home, clock.now);
      // the old one goes only when a newer one is there whole
      const ids = killed.points.map(({ id }): string => id);
      expect(ids.length === 2 ? ids[1] === before : ids.length === 1).toBe(true);
      const id = await make();
      const { points, warnings } = await readPoints(agent.home, clock.now);
      expect([points.map((one): string => one.id), warnings, leftovers(agent.home)]).toEqual([[id], [], []]);
      before = points[0]?.id;
      if (n > 20) throw new Error(`${crash} has no end`);
    }
    expect(kills).toBeGreaterThanOrEqual(least);
    // what killed runs had written served the next one, or went with the next removal
    expect((await readPoints(agent.home, clock.now)).spare).toEqual([]);
  });
});
