import {
  chmodSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent, Listed, SentSnapshot } from '../support/agent.ts';
import { workOneDay } from '../support/books.ts';
import { World } from '../support/world.ts';

interface Entry {
  readonly path: string;
  readonly size: number;
  readonly from?: string;
}

interface Diff {
  readonly added: readonly Entry[];
  readonly changed: readonly Entry[];
  readonly removed: readonly Entry[];
  readonly renamed: readonly Entry[];
  readonly unchanged: number;
}

interface Drill {
  readonly drills: readonly {
    readonly mandate: string;
    readonly sound: boolean;
    readonly files: number;
    readonly verified: number;
    readonly comparedWithDisk: number;
    readonly damaged: readonly { readonly path: string }[];
    readonly differsFromDisk: readonly string[];
    readonly modules: readonly { readonly file: string; readonly format: string; readonly ok: boolean }[];
    readonly error: { readonly code: string } | null;
  }[];
  readonly report: { readonly json: string; readonly text: string };
}

let world: World;
let first: Agent;
let books: string;
let monday: SentSnapshot;
let tuesday: SentSnapshot;

beforeAll(async () => {
  world = await World.create();
  ({ first, books } = await world.household());
  monday = await first.send('Dupont SA');
});
afterAll(() => world[Symbol.asyncDispose]());

const paths = (entries: readonly Entry[]) => entries.map(({ path }) => path);

describe('diff', () => {
  it('of the newest snapshot and the disk: what is new, changed, gone, and what looks renamed', async () => {
    expect(await first.json<Diff>(['diff', 'Dupont SA'])).toMatchObject({
      added: [],
      changed: [],
      removed: [],
      renamed: [],
    });
    workOneDay(books, 1, { scale: 0.01 });
    renameSync(join(books, 'documents/piece-00000.pdf'), join(books, 'documents/reçu.pdf'));
    rmSync(join(books, 'documents/piece-00001.pdf'));
    const { size } = statSync(join(books, 'documents/reçu.pdf'));
    const diff = await first.json<Diff>(['diff', 'Dupont SA']);
    expect(diff.renamed).toEqual([{ from: 'documents/piece-00000.pdf', path: 'documents/reçu.pdf', size }]);
    expect(paths(diff.removed)).toEqual(['documents/piece-00001.pdf']);
    expect(paths(diff.changed)).toEqual(['comptabilite.cre', 'facturation.fac', 'salaires.salx']);
    expect(diff.added).toHaveLength(5);
  });

  it('of two snapshots says the same, from their catalogs; the other way round it is turned round', async () => {
    const disk = await first.json<Diff>(['diff', 'Dupont SA']);
    tuesday = await first.send('Dupont SA');
    const [from, to] = [monday.id.slice(0, 12), tuesday.id];
    const there = await first.json<Diff>(['diff', from, to]);
    const { added, changed, removed, renamed, unchanged } = there;
    expect({ added, changed, removed, renamed, unchanged }).toEqual({
      added: disk.added,
      changed: disk.changed,
      removed: disk.removed,
      renamed: disk.renamed,
      unchanged: disk.unchanged,
    });
    const back = await first.json<Diff>(['diff', to, from]);
    expect([paths(back.added), paths(back.removed)]).toEqual([paths(removed), paths(added)]);
  });

  it('of a point and a snapshot, and not of two mandates', async () => {
    const { points } = await first.json<{ points: { id: string }[] }>(['point', 'Dupont SA']);
    const point = points[0]?.id ?? '';
    expect(await first.json<Diff>(['diff', tuesday.id, point])).toMatchObject({ added: [], changed: [], removed: [] });
    mkdirSync(world.path('Autre'));
    writeFileSync(world.path('Autre', 'a.cre'), 'x');
    await first.json(['mandate', 'add', 'Autre', '--path', world.path('Autre')]);
    const other = await first.send('Autre');
    expect(await first.refused(['diff', point, other.id])).toMatchObject({ exitCode: 2 });
    expect(await first.refused(['diff', point, 'ffffffff'])).toMatchObject({ exitCode: 14 });
    expect(await first.refused(['diff', 'Personne'])).toMatchObject({ exitCode: 14 });
  });
});

describe('drill', () => {
  const drill = (code: number, ...args: string[]) => first.json<Drill>(['drill', ...args], code);
  const leftovers = () => [
    existsSync(join(first.home, 'drill')),
    readdirSync(first.home).filter((name) => name.startsWith('.')),
  ];

  it('restores the newest snapshot of every mandate, reads all again, and keeps a dated report', async () => {
    const { drills, report } = await drill(0);
    expect(drills.map(({ mandate, sound }) => [mandate, sound])).toEqual([
      ['Autre', true],
      ['Dupont SA', true],
    ]);
    expect(drills[1]).toMatchObject({
      files: tuesday.files,
      verified: tuesday.files,
      comparedWithDisk: tuesday.files,
      modules: [
        { file: 'comptabilite.cre', format: 'sqlite', ok: true },
        { file: 'facturation.fac', format: 'sqlite', ok: true },
        { file: 'salaires.salx', format: 'zip', ok: true },
      ],
    });
    expect(JSON.parse(readFileSync(report.json, 'utf8'))).toMatchObject({ exitCode: 0, drills });
    expect(readFileSync(report.text, 'utf8')).toContain('Dupont SA');
    expect(leftovers()).toEqual([false, []]);
  });

  it('keeps it where it is asked for, and never over another file', async () => {
    const file = world.path('essai.txt');
    await drill(0, 'Autre', '--report', file);
    const text = readFileSync(file, 'utf8');
    expect(text).toContain('essai de restitution');
    expect(await first.refused(['drill', 'Autre', '--report', file])).toMatchObject({ exitCode: 2 });
    expect(readFileSync(file, 'utf8')).toBe(text);
    await drill(0, 'Autre', '--report', file, '--overwrite', '--lang', 'de');
    expect(readFileSync(file, 'utf8')).toContain('Wiederherstellungsprobe');
  });

  it('of a point and of a copy', async () => {
    const point = await drill(0, 'Dupont SA', '--point', 'latest');
    expect(point.drills).toMatchObject([{ mandate: 'Dupont SA', kind: 'point', sound: true, verified: tuesday.files }]);
    const file = world.path('dupont.pe-backup');
    await first.json(['copy', 'Dupont SA', file]);
    const copy = await drill(0, '--copy', file);
    expect(copy.drills).toMatchObject([{ mandate: 'Dupont SA', kind: 'copy', sound: true, verified: tuesday.files }]);
  });

  it('finds a file that the disk changed behind its date', async () => {
    const path = join(books, 'documents/reçu.pdf');
    const { atime, mtime } = statSync(path);
    const bytes = readFileSync(path);
    lutimesSync(path, atime, new Date(mtime.getTime() + 1000)); // a time that can be set exactly
    await first.send('Dupont SA');
    writeFileSync(path, Buffer.from(bytes).fill(0, 100, 101));
    lutimesSync(path, atime, new Date(mtime.getTime() + 1000));
    const { drills } = await drill(10, 'Dupont SA');
    expect(drills).toMatchObject([{ sound: false, damaged: [], differsFromDisk: ['documents/reçu.pdf'] }]);
    writeFileSync(path, bytes);
    await first.send('Dupont SA');
  });

  it('leaves nothing behind when it is killed, once the next one ran', async () => {
    expect(await first.dies('restore-staged', 1, ['drill', 'Dupont SA'])).toBe(true);
    expect(leftovers()[0]).toBe(true);
    await drill(0, 'Autre');
    expect(leftovers()).toEqual([false, []]);
  });

  it('MS-01 finds a damaged pack: exit 10, the files by name, in the report too, and the scratch folder is gone', async () => {
    const { snapshots } = await first.json<Listed>(['snapshots', 'Dupont SA']);
    expect(snapshots.length).toBeGreaterThan(2);
    damageOldestPack();
    const { drills, report } = await drill(10, 'Dupont SA');
    expect(drills).toMatchObject([{ mandate: 'Dupont SA', sound: false, error: null }]);
    expect(drills[0]?.damaged.length).toBeGreaterThan(0);
    const text = readFileSync(report.text, 'utf8');
    for (const { path } of drills[0]?.damaged ?? []) expect(text).toContain(path);
    expect(JSON.parse(readFileSync(report.json, 'utf8'))).toMatchObject({ exitCode: 10, drills });
    expect(leftovers()).toEqual([false, []]);
  });

  /** Flips a byte in the pack of the first send: it holds most files, and not the catalog of the newest snapshot. */
  function damageOldestPack(): void {
    const folder = join(world.server.dataDir, 'blobs/v');
    const packs = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => /[/\\]p[/\\]/.test(name))
      .map((name) => join(folder, name))
      .filter((path) => statSync(path).isFile());
    const [oldest = ''] = packs.toSorted((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs);
    const bytes = readFileSync(oldest);
    const at = bytes.length >> 2;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    chmodSync(oldest, 0o600);
    writeFileSync(oldest, bytes);
  }
});
