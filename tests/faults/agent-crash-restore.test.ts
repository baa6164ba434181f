import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { differences } from '../support/compare.ts';
import { MANDATE, Patient } from '../support/patient.ts';

const PACKS = 4;

let patient: Patient;

beforeAll(async () => {
  patient = await Patient.create();
  for (let day = 0; day < PACKS; day++) {
    patient.work();
    await patient.converges(); // a pack of its own
  }
});
afterAll(() => patient[Symbol.asyncDispose]());

const newest = (): string => patient.acknowledged.at(-1)?.copy ?? '';
const isLike = (expected: string, path: string): boolean =>
  existsSync(path) && differences(expected, path).length === 0;

/** What a restore put aside, and what one that was killed may have left. */
function beside(): { kept: string[]; staging: string[] } {
  const folder = dirname(patient.books);
  const names = readdirSync(folder);
  const kept = names.filter((name) => name.startsWith(`${basename(patient.books)} (`));
  return {
    kept: kept.map((name) => join(folder, name)),
    staging: names.filter((name) => name.startsWith('.cresus-safe-')),
  };
}

describe('F-18 an agent that is killed while it restores', () => {
  const intoCurrent = ['restore', MANDATE, '--snapshot', 'latest', '--into-current', '--accept-replace'];

  /** The state `old` is on the disk, or in a point that says it was made for a restore. */
  async function isNowhereLost(old: string): Promise<boolean> {
    if (isLike(old, patient.books) || beside().kept.some((path) => isLike(old, path))) return true;
    const { points } = await patient.agent.json<{ points: { id: string; reason: string }[] }>(['points', MANDATE]);
    const [latest] = points.filter(({ reason }) => reason === 'restore');
    const target = patient.world.path('from-the-point');
    await patient.agent.json(['restore', MANDATE, '--point', latest?.id ?? 'none', '--to', target]);
    const isThere = isLike(old, target);
    rmSync(target, { recursive: true });
    return isThere;
  }

  it.each([
    ['restore-write', PACKS - 1],
    ['restore-staged', 1],
    ['point-journal', 1],
    ['pack-acked', 1],
    ['swap-intent', 1],
    ['swap-out', 1],
    ['swap-in', 1],
    ['swap-settled', 1],
    ['swap-noted', 1],
    ['state-temp', 1],
    ['state-renamed', 1],
  ])(
    'F-18 into the current mandate, at %s: it is the old one or the new one, whole, and the next run ends it',
    async (point, least) => {
      let kills = 0;
      const step = point.startsWith('state-') ? 4 : 1;
      for (let n = 1; ; n += step) {
        patient.work(); // not sent: what the restore must not lose
        const old = patient.copy();
        const died = await patient.agent.dies(point, n, intoCurrent);
        if (died) {
          kills += 1;
          const whole = [old, newest()].filter((expected) => isLike(expected, patient.books));
          if (point === 'swap-out') expect([whole, existsSync(patient.books)]).toEqual([[], false]);
          else expect(whole).toHaveLength(1);
          if (/^swap-(in|settled|noted)$/.test(point)) expect(whole).toEqual([newest()]);
          // any command ends it, and says so when something was half done
          const next = await patient.agent.run(['points', MANDATE, '--json']);
          if (point.startsWith('swap-')) {
            expect(next.stderr).toContain('restore-recovered');
            expect(isLike(point === 'swap-intent' ? old : newest(), patient.books)).toBe(true);
          }
          expect(await isNowhereLost(old)).toBe(true);
          await patient.agent.json(intoCurrent);
        }
        expect(differences(newest(), patient.books)).toEqual([]);
        const { kept, staging } = beside();
        expect(staging).toEqual([]);
        if (!died) expect([kept, await isNowhereLost(old)]).toEqual([[], true]);
        for (const path of kept) rmSync(path, { recursive: true });
        if (!died) break;
        if (n > 60) throw new Error(`${point} has no end`);
      }
      expect(kills).toBeGreaterThanOrEqual(least);
      await patient.holds();
    },
  );

  it('F-18 into a new folder: nothing is there before all of it is, and what was written is not fetched again', async () => {
    const target = patient.world.path('neuf');
    const to = ['restore', MANDATE, '--snapshot', 'latest', '--to', target];
    const whole = await patient.agent.json<{ downloadedBytes: number }>([...to.slice(0, -1), `${target} 0`]);
    expect(await patient.agent.dies('restore-staged', 1, to)).toBe(true);
    expect(existsSync(target)).toBe(false);
    expect(beside().staging).toHaveLength(1);
    const warned = async (): Promise<boolean> => {
      const { warnings } = await patient.agent.json<{ warnings: { code: string }[] }>(['status']);
      return warnings.some(({ code }) => code === 'restore-unfinished');
    };
    expect(await warned()).toBe(true);
    const again = await patient.agent.json<{ downloadedBytes: number }>(to);
    expect(differences(newest(), target)).toEqual([]);
    expect([beside().staging, await warned()]).toEqual([[], false]);
    expect(again.downloadedBytes).toBeLessThan(whole.downloadedBytes);
  });

  it('F-18 as another mandate: it is registered once, whichever run does it', async () => {
    const named = ['restore', MANDATE, '--snapshot', 'latest', '--as', 'Dupont essai', '--accept-replace'];
    for (const [point, n] of [
      ['restore-staged', 1],
      ['swap-intent', 1],
      ['swap-in', 1],
      ['state-temp', 3],
      ['swap-noted', 1],
    ] as const) {
      const died = await patient.agent.dies(point, n, named);
      await patient.agent.json(named);
      const { mandates } = await patient.agent.json<{ mandates: { name: string; path: string }[] }>([
        'mandate',
        'list',
      ]);
      const mine = mandates.filter(({ name }) => name === 'Dupont essai');
      expect([point, n, died, mine.length]).toEqual([point, n, died, 1]);
      const path = mine[0]?.path ?? '';
      expect(differences(newest(), path)).toEqual([]);
      await patient.agent.json(['mandate', 'remove', 'Dupont essai']);
      rmSync(path, { recursive: true });
    }
  });
});
