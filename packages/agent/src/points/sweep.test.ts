import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asMandateId, asPackRef, comparePackIds, type MandateId, type PackId, packIdOf } from '@cresus-safe/protocol';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { appendSnapshot, MANDATE } from '../vault/vault-fixture.ts';
import { Desk } from './points-fixture.ts';
import { changeSettings, DEFAULT_SETTINGS } from './settings.ts';
import type { Points } from './store.ts';
import { plannedNow, sweep, tidyPoints } from './sweep.ts';

const DAY = 86_400_000;
const OTHER = asMandateId('b'.repeat(32));

let desk: Desk;

beforeEach(() => {
  desk = new Desk();
});
afterEach(() => desk[Symbol.dispose]());

/** Numbers from 0 to below 1 that depend on the seed alone. */
function dice(seed: string): () => number {
  let count = 0;
  return () => createHash('sha256').update(`${seed}${count++}`).digest().readUInt32BE(0) / 2 ** 32;
}

/** A pack of nothing that anybody could read: removal looks at names only. */
async function putPack({ store }: Points): Promise<PackId> {
  const body = new Uint8Array(randomBytes(64));
  const id = packIdOf(body);
  await store.putPack(id, body);
  return id;
}

function append({ vault }: Points, mandateId: MandateId, ids: readonly PackId[]): Promise<string> {
  const packs = ids.toSorted(comparePackIds).map((packId) => ({ packId, packRef: asPackRef(packId.slice(0, 32)) }));
  return appendSnapshot(vault, 'session', { mandateId, packs });
}

test('years of points and removals: never a pack too many and never one that a living point names', async () => {
  const random = dice('points');
  const points = await desk.open();
  const named = new Map<string, readonly PackId[]>();
  const newest = new Map<MandateId, readonly PackId[]>();
  let [removed, least] = [0, 0];
  for (let round = 0; round < 40; round++) {
    const mandateId = random() < 0.3 ? OTHER : MANDATE;
    // as a backup does: some packs of the point before, and a new one
    const kept = (newest.get(mandateId) ?? []).filter(() => random() < 0.8);
    const ids = [...kept, await putPack(points)];
    named.set(await append(points, mandateId, ids), ids);
    newest.set(mandateId, ids);
    if (random() < 0.1) await putPack(points); // of a run that was killed
    desk.now += random() < 0.5 ? 60_000 : Math.floor(random() * 20 * DAY);
    const goes = plannedNow(points).filter(({ keptAs }) => keptAs === undefined);
    const { forgotten } = await tidyPoints(points);
    expect(forgotten).toEqual(goes.map(({ point }) => point.id));
    removed += forgotten.length;
    for (const id of forgotten) named.delete(id);
    const living = points.list().map(({ id }) => id);
    expect(new Set(living)).toEqual(new Set(named.keys()));
    const needed = new Set([...named.values()].flat());
    const there = new Set(points.store.packs.list());
    for (const id of needed) expect(there.has(id)).toBe(true);
    if (forgotten.length > 0) expect(there).toEqual(needed);
    for (const id of living) expect(await points.vault.record(id)).toMatchObject({ comment: 'session' });
    least = Math.max(least, living.length);
  }
  expect([removed > 12, least > 5]).toEqual([true, true]);
  expect(desk.codes).toEqual([]);
});

test('where the pack list of a living point cannot be read, no pack is removed, and then one is', async () => {
  const points = await desk.open();
  await append(points, MANDATE, [await putPack(points)]);
  desk.now += 40 * DAY;
  const second = await append(points, MANDATE, [await putPack(points)]);
  changeSettings(desk.home, { ...DEFAULT_SETTINGS, dailyDays: 0, weeklyDays: 0 });
  const files = [join(desk.home.points, 'store/snapshots', second), join(desk.home.points, 'vault/requests/4')];
  for (const file of files) writeFileSync(file, 'damaged');
  expect((await tidyPoints(points)).forgotten).toHaveLength(1);
  expect(points.store.packs.list()).toHaveLength(2);
  expect(desk.codes).toEqual(['points-not-swept']);
  desk.now += 40 * DAY;
  await append(points, MANDATE, [await putPack(points)]);
  await tidyPoints(points); // the damaged one is no longer the last and goes
  expect(points.store.packs.list()).toHaveLength(1);
});

test('a removal that is due again changes nothing', async () => {
  const points = await desk.open();
  await append(points, MANDATE, [await putPack(points)]);
  await putPack(points);
  expect((await sweep(points)).packs).toBe(1);
  const before = points.vault.history.seq;
  expect(await tidyPoints(points)).toEqual({ forgotten: [], packs: 0, bytes: 0 });
  expect(await sweep(points)).toEqual({ packs: 0, bytes: 0 });
  expect(points.vault.history.seq).toBe(before);
});
