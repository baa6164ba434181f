import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { makeBooks, workOneDay } from '../support/books.ts';
import { Clock } from '../support/clock.ts';
import { noise } from '../support/noise.ts';
import { World } from '../support/world.ts';

const DAY = 86_400_000;
const SCALE = { scale: 0.01 };

interface Point {
  readonly id: string;
  readonly createdAt: number;
  readonly files: number;
  readonly bytes: number;
  readonly reason: string;
  readonly comment: string;
  readonly mandate: string;
  readonly keptAs?: string | null;
}
interface Made extends Point {
  readonly unchanged: boolean;
  readonly newBytes: number;
  readonly storedBytes: number;
}
interface Checked {
  readonly checked: { readonly packs: number; readonly bytes: number; readonly snapshots: number };
  readonly problems: readonly { readonly code: string; readonly pack?: string }[];
  readonly damaged: readonly {
    readonly id: string;
    readonly goodFiles: readonly string[] | null;
    readonly damagedFiles: readonly string[] | null;
  }[];
}

let dir: string;
let agent: Agent;
let clock: Clock;

const books = (): string => join(dir, 'books');
const make = async (...args: string[]): Promise<Made> => {
  const { points } = await agent.json<{ points: Made[] }>(['point', 'Dupont SA', ...args]);
  const [made] = points;
  if (made === undefined || points.length !== 1) throw new Error(`${points.length} points`);
  return made;
};
const list = async (...args: string[]): Promise<Point[]> =>
  (await agent.json<{ points: Point[] }>(['points', 'Dupont SA', ...args])).points;
const packs = (): string[] =>
  readdirSync(join(agent.home, 'points/store/packs')).map((name) => join(agent.home, 'points/store/packs', name));

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cresus-safe-points-'));
  clock = new Clock(join(dir, 'clock'));
  agent = new Agent(join(dir, 'computer', 'cresus-safe'), { env: clock.env });
  makeBooks(books(), SCALE);
  await agent.json(['mandate', 'add', 'Dupont SA', '--path', books()]);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('automatic points, on a computer that knows no server', () => {
  const made: Made[] = [];

  it('makes one, and none when nothing changed', async () => {
    expect(await list()).toEqual([]);
    made.push(await make());
    expect(made[0]).toMatchObject({ unchanged: false, reason: 'manual', mandate: 'Dupont SA', comment: '' });
    expect(made[0]?.newBytes).toBe(made[0]?.bytes);
    const again = await make();
    expect(again).toMatchObject({ id: made[0]?.id, unchanged: true, newBytes: 0, storedBytes: 0 });
    expect(await list()).toHaveLength(1);
    expect(existsSync(join(agent.home, 'config.json'))).toBe(false);
  });

  it('costs what changed, and lists the newest first', async () => {
    clock.advance(DAY);
    workOneDay(books(), 1, SCALE);
    made.push(await make('--comment', 'avant bouclement'));
    const [first, second] = made;
    expect(second?.storedBytes).toBeLessThan((second?.bytes ?? 0) * 0.9);
    const points = await list();
    expect(points.map(({ id }) => id)).toEqual([second?.id, first?.id]);
    expect(points[0]).toMatchObject({ reason: 'manual', comment: 'avant bouclement', files: second?.files });
    const { mandates } = await agent.json<{ mandates: { lastPoint: object }[] }>(['mandate', 'list']);
    expect(mandates[0]?.lastPoint).toEqual({ id: second?.id, createdAt: second?.createdAt });
    const status = await agent.json<{ mandates: { lastPoint: object }[] }>(['status']);
    expect(status.mandates[0]?.lastPoint).toEqual(mandates[0]?.lastPoint);
  });

  it('says in words what it did, what it keeps and why', async () => {
    const listed = await agent.run(['points']);
    expect([listed.code, listed.stdout.trim().split('\n')]).toEqual([0, [expect.any(String), expect.any(String)]]);
    expect(listed.stdout).toContain('« avant bouclement »');
    const plan = await agent.run(['points', 'Dupont SA', '--plan']);
    expect(plan.stdout).toMatch(/gardé : le dernier[\s\S]*gardé : récent/);
    const unchanged = await agent.run(['point', 'dupont sa']);
    expect(unchanged.stdout).toMatch(/^✓ Rien n'a changé/);
  });

  it('everything is for this user alone, and nothing of the books is readable in it', async () => {
    const all = readdirSync(join(agent.home, 'points'), { recursive: true, encoding: 'utf8' });
    for (const name of all) {
      const path = join(agent.home, 'points', name);
      const { mode } = statSync(path);
      expect([name, mode & 0o077]).toEqual([name, 0]);
      if (statSync(path).isFile()) expect(readFileSync(path).includes('avant bouclement')).toBe(false);
    }
    expect(() => execFileSync('grep', ['-rla', 'Dupont', join(agent.home, 'points')])).toThrow(); // exit 1: none
  });

  it('shows what the plan would remove, removes it with the next point, and never the last one', async () => {
    clock.advance(20 * DAY);
    workOneDay(books(), 2, SCALE);
    made.push(await make());
    clock.advance(60_000);
    workOneDay(books(), 3, SCALE);
    made.push(await make());
    const shorter = ['--keep-all', '0', '--keep-daily', '0', '--keep-weekly', '0'];
    const { points, plan } = await agent.json<{ points: Point[]; plan: object }>(['points', ...shorter]);
    expect(plan).toMatchObject({ allDays: 0, dailyDays: 0, weeklyDays: 0 });
    expect(points.map(({ keptAs }) => keptAs)).toEqual(['last', 'recent', null, null]);
    expect((await list()).length).toBe(4);
    const before = packs().length;
    await make(); // nothing changed: no point, and yet the plan is kept to
    expect((await list()).map(({ id }) => id)).toEqual([made[3]?.id, made[2]?.id]);
    expect(packs().length).toBeLessThanOrEqual(before);
    clock.advance(100 * DAY);
    await make();
    expect((await list()).map(({ id }) => id)).toEqual([made[3]?.id]);
    expect((await agent.json<Checked>(['verify', '--points'])).problems).toEqual([]);
  });

  it('refuses settings that are none, and a name that nobody has', async () => {
    for (const flags of [
      ['--keep-all', '-1'],
      ['--keep-daily', 'x'],
      ['--max-size', '3'],
      ['--max-size', '20XB'],
    ])
      expect(await agent.refused(['points', ...flags])).toMatchObject({ exitCode: 2, error: { code: 'usage' } });
    expect(await agent.refused(['points', 'Müller'])).toMatchObject({ exitCode: 14 });
    expect(await agent.refused(['point', 'Müller'])).toMatchObject({ exitCode: 14 });
    expect(await agent.refused(['verify', 'Müller', '--points'])).toMatchObject({ exitCode: 14 });
    expect(await agent.refused(['verify', '--points', '--full'])).toMatchObject({ exitCode: 2 });
  });

  it('a point that would pass the room granted is refused, and the points stay', async () => {
    const before = await list();
    await agent.json(['points', '--max-size', '3MB']);
    writeFileSync(join(books(), 'scan.bin'), noise('scan', 4_000_000));
    const refusal = await agent.refused(['point', 'Dupont SA']);
    expect(refusal).toMatchObject({
      exitCode: 15,
      error: { code: 'disk-full', hint: expect.stringContaining('--max-size') },
    });
    expect(await list()).toEqual(before);
    await agent.json(['points', '--max-size', '1GB']);
    expect((await make()).newBytes).toBe(4_000_000);
  });

  it('a damaged point says which of its files are still good, and the next one is whole', async () => {
    writeFileSync(join(books(), 'note.txt'), 'une note');
    await make();
    const before = await list();
    const large = packs().toSorted((a, b) => statSync(b).size - statSync(a).size)[0] as string;
    const bytes = readFileSync(large);
    bytes[1000] = (bytes[1000] as number) ^ 1;
    writeFileSync(large, bytes);
    const { checked, problems, damaged } = await agent.json<Checked>(['verify', 'Dupont SA', '--points'], 10);
    expect(checked).toMatchObject({ packs: packs().length, snapshots: before.length });
    expect(problems).toEqual([expect.objectContaining({ code: 'pack-damaged' })]);
    const newest = damaged.find(({ id }) => id === before[0]?.id);
    expect(newest?.damagedFiles).toContain('scan.bin');
    expect(newest?.goodFiles).toContain('documents/piece-00000.pdf');
    const restored = await agent.json<{ damaged: { path: string }[] }>(
      ['restore', 'Dupont SA', '--point', newest?.id ?? '', '--to', join(dir, 'restored')],
      10,
    );
    expect(restored.damaged.map(({ path }) => path).toSorted()).toEqual(newest?.damagedFiles?.toSorted());
    for (const path of newest?.goodFiles ?? [])
      expect(readFileSync(join(dir, 'restored', path)).equals(readFileSync(join(books(), path)))).toBe(true);
    const words = await agent.run(['verify', '--points']);
    expect([words.code, words.stdout]).toEqual([
      10,
      expect.stringMatching(/encore bons : \d+ fichiers?[\s\S]*scan\.bin/),
    ]);
    const healed = await make();
    expect(healed.unchanged).toBe(false);
    expect((await agent.json<Checked>(['verify', '--points'], 10)).damaged.map(({ id }) => id)).not.toContain(
      healed.id,
    );
  });
});

describe('automatic points of a computer with a Safe', () => {
  it('needs neither the server nor a subscription, and the secret key gives back their lost root', async () => {
    await using world = await World.create();
    const { subscriber, first, books: folder } = await world.household();
    await first.json(['point', 'Dupont SA']);
    await first.send('Dupont SA');
    const past = new Date(Date.now() - 60 * DAY).toISOString().slice(0, 10);
    await world.server.operateJson('subscriber', 'extend', subscriber.number, '--until', past);
    writeFileSync(join(folder, 'note.txt'), 'sans abonnement');
    expect(await first.json(['point', 'Dupont SA'])).toMatchObject({ points: [{ unchanged: false }] });
    rmSync(join(first.home, 'points/root.key'));
    const lost = await first.refused(['points', 'Dupont SA']);
    expect(lost).toMatchObject({
      exitCode: 10,
      error: { code: 'integrity', hint: expect.stringContaining('snapshots') },
    });
    await first.json(['snapshots', 'Dupont SA']);
    expect((await first.json<{ points: object[] }>(['points', 'Dupont SA'])).points).toHaveLength(2);
    await world.server.stop();
    writeFileSync(join(folder, 'note.txt'), 'sans serveur');
    expect(await first.json(['point', 'Dupont SA'])).toMatchObject({ points: [{ unchanged: false }] });
    expect((await first.json<Checked>(['verify', '--points'])).problems).toEqual([]);
  });
});
