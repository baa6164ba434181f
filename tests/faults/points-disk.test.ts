import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { lacksSmallDisk, SmallDisk, testWith } from '../support/faults.ts';
import { noise } from '../support/noise.ts';
import { leftovers, readPoints } from '../support/points-home.ts';

const MANDATE = 'Dupont SA';
const KIB = 1024;
/** Room left when the point begins: a little for each of the things that it writes in turn. */
const ROOM_KIB = [0, 4, 12, 24, 60, 300, 560, 700];

let dir: string;
let disk: SmallDisk;
let agent: Agent;

const lacks = lacksSmallDisk();

beforeAll(async () => {
  if (lacks !== undefined) return;
  dir = mkdtempSync(join(tmpdir(), 'cresus-safe-points-disk-'));
  mkdirSync(join(dir, 'books'));
  writeFileSync(join(dir, 'books', 'livre.cre'), noise('livre', 300_000));
  disk = await SmallDisk.over(join(dir, 'disk'), '6m');
  agent = new Agent(join(disk.dir, 'cresus-safe'), { wrap: disk.wrap });
  await agent.json(['mandate', 'add', MANDATE, '--path', join(dir, 'books')]);
  await agent.json(['points', '--keep-all', '0', '--keep-daily', '0', '--keep-weekly', '0']);
});
afterAll(async () => {
  if (lacks !== undefined) return;
  await disk[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

describe('F-25 a full disk under the points', () => {
  testWith(lacks)('F-25 at every stage: exit 15, the points that are there stay, and no room is lost', async () => {
    const home = join(disk.outside, 'cresus-safe');
    const filler = join(disk.outside, 'filler');
    await agent.json(['point', MANDATE]);
    let refused = 0;
    for (const [day, free] of ROOM_KIB.entries()) {
      writeFileSync(join(dir, 'books', `piece-${day}.txt`), noise(`piece ${day}`, 290_000));
      const before = await readPoints(home, Date.now());
      fill(filler, free * KIB);
      const finished = await agent.run(['point', MANDATE, '--json']);
      rmSync(filler);
      const after = await readPoints(home, Date.now());
      expect(leftovers(home)).toEqual([]);
      if (finished.code === 0) expect(after.points.length).toBe(before.points.length + 1);
      else {
        refused += 1;
        expect([free, finished.code, JSON.parse(finished.stdout)]).toEqual([
          free,
          15,
          { error: expect.objectContaining({ code: 'disk-full', hint: expect.any(String) }) },
        ]);
        // nothing was asked to go, as all of them are of today, and nothing went; nor does anything unfinished stay
        expect(after.points.slice(-before.points.length)).toEqual(before.points);
        expect(after.spare).toEqual([]);
      }
    }
    expect(refused).toBeGreaterThanOrEqual(5);
    await agent.json(['point', MANDATE]);
    expect((await readPoints(home, Date.now())).points.length).toBe(ROOM_KIB.length - refused + 2);
  });
});

/** Fills the disk but for so many bytes. */
function fill(path: string, leave: number): void {
  const piece = noise('filler', 4 * KIB);
  const pieces: Buffer[] = [];
  try {
    for (;;) {
      pieces.push(piece);
      writeFileSync(path, piece, { flag: 'a' });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
  writeFileSync(path, Buffer.concat(pieces.slice(0, pieces.length - 1 - Math.ceil(leave / piece.length))));
}
