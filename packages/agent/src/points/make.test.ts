import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { PackId } from '@cresus-safe/protocol';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { loadState } from '../local/state.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { checkPoints } from './check.ts';
import { Desk } from './points-fixture.ts';
import { changeSettings } from './settings.ts';
import type { Points } from './store.ts';

const DAY = 86_400_000;

let desk: Desk;
let books: Mandate;

beforeEach(() => {
  desk = new Desk();
  books = desk.mandate();
  desk.write(books, 'livre.cre', randomBytes(300_000));
  desk.write(books, 'notes.txt', 'bonjour');
});
afterEach(() => desk[Symbol.dispose]());

/** The packs that living points name, from their records. */
async function named({ vault }: Points): Promise<PackId[]> {
  const records = await Promise.all(vault.snapshots().map(({ id }) => vault.record(id)));
  return [...new Set(records.flatMap(({ packs }) => packs.map(({ packId }) => packId)))].sort();
}

test('the first point makes the store; without a change there is no second one', async () => {
  const first = await desk.make(books);
  expect(first).toMatchObject({ unchanged: false, files: 2, bytes: 300_007, newBytes: 300_007, problems: [] });
  const again = await desk.make(books, { reason: 'session' });
  expect(again).toMatchObject({ unchanged: true, id: first.id, storedBytes: 0 });
  expect(await desk.with((points) => points.list(books.mandateId).length)).toBe(1);
  expect(loadState(desk.home, desk.now).lastPoints).toEqual([
    { mandateId: books.mandateId, id: first.id, createdAt: desk.now },
  ]);
  expect(statSync(join(desk.home.points, 'root.key')).mode & 0o777).toBe(0o600);
  expect(desk.codes).toEqual([]);
});

test('a point keeps its reason and its comment, newest first, each mandate for itself', async () => {
  const other = desk.mandate('Müller GmbH', 'b');
  desk.write(other, 'livre.cre', 'x');
  await desk.make(books, { reason: 'session' });
  await desk.make(other, { reason: 'watch' });
  const forced = await desk.make(books, { reason: 'restore', comment: 'avant\nle bouclement', force: true });
  expect(forced.unchanged).toBe(false);
  const [newest, oldest] = await desk.with((points) => points.list(books.mandateId));
  expect(newest).toMatchObject({ id: forced.id, reason: 'restore', comment: 'avant\nle bouclement', files: 2 });
  expect(oldest).toMatchObject({ reason: 'session', comment: '', mandateName: 'Dupont SA', createdAt: desk.now });
  expect(await desk.with((points) => points.list().map(({ mandateName }) => mandateName))).toEqual([
    'Dupont SA',
    'Müller GmbH',
    'Dupont SA',
  ]);
});

test('what the plan lets go is removed by the next point, with its packs, and only that', async () => {
  const ids: string[] = [];
  for (const day of [0, 0, 40, 41]) {
    desk.write(books, 'livre.cre', randomBytes(50_000));
    desk.now = Date.parse('2026-09-01T09:00Z') + day * DAY + ids.length;
    ids.push((await desk.make(books)).id);
  }
  await desk.with(async (points) => {
    expect(points.list().map(({ id }) => id)).toEqual([ids[3], ids[2], ids[1]]);
    expect(points.store.packs.list().sort()).toEqual(await named(points));
    expect(points.store.listed()).toHaveLength(3);
    expect((await checkPoints({ points })).problems).toEqual([]);
    expect(points.vault.history.state.steps.map(({ entry }) => entry.kind).at(-1)).toBe('snapshot-add');
  });
  // the removed point's entry stays in the journal, and its file is gone
  expect(desk.codes).toEqual([]);
});

test('the room for points is a limit: a point that would pass it is refused, and none is removed for it', async () => {
  const first = await desk.make(books);
  const before = await desk.with((points) => points.store.packs.list().sort());
  changeSettings(desk.home, { maxBytes: 1_000_000 });
  desk.write(books, 'grand.bin', randomBytes(900_000));
  await expect(desk.make(books)).rejects.toMatchObject({ kind: 'disk-full', key: 'error.points-full' });
  await desk.with((points) => {
    expect(points.list().map(({ id }) => id)).toEqual([first.id]);
    expect(points.store.packs.list().sort()).toEqual(before);
  });
  changeSettings(desk.home, { maxBytes: 3_000_000 });
  expect(await desk.make(books)).toMatchObject({ unchanged: false, newBytes: 900_000 });
});
