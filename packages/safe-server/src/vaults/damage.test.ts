import { asMandateRef, asPackId, asPackRef, encodeReplacement } from '@cresus-safe/protocol/public';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { Audit } from '../audit/audit.ts';
import { AuditEntity } from '../audit/entity.ts';
import { packKey } from '../blobs/keys.ts';
import { type ScrubDeps, scrub } from '../jobs/scrub.ts';
import { type Bed, type Client, makePack, sha256, startBed } from './conversation.test.bed.ts';
import { PackEntity } from './entities.ts';
import { codeOf } from './journal.test.bed.ts';

let bed: Bed;
let a: Client;
let deps: ScrubDeps;

beforeEach(async () => {
  bed = await startBed();
  a = await bed.subscriber('1001');
  await a.createVault();
  const { db, blobs, clock } = bed.deps;
  deps = { db, blobs, clock, audit: new Audit(db, clock), log: pino({ level: 'silent' }) as ScrubDeps['log'] };
});
afterEach(() => bed.close());

/** A snapshot over one pack, and the pack. */
async function stored(granules = 1): Promise<ReturnType<typeof makePack> & { seq: number }> {
  const pack = makePack(granules);
  await a.putPack(pack);
  await a.append(a.snapshot([pack.id]));
  return { ...pack, seq: a.head.seq };
}

const lose = (id: string) => bed.blobs.delete(packKey(a.vaultId, id));

async function rot(id: string, bytes: Buffer): Promise<void> {
  const rotten = Buffer.from(bytes);
  rotten[1000] = (rotten[1000] as number) ^ 1;
  await lose(id);
  await bed.blobs.put(packKey(a.vaultId, id), rotten, { length: rotten.length, sha256: sha256(rotten) });
}

async function scrubAll(): ReturnType<typeof scrub> {
  bed.knobs.now += 1000;
  return await scrub(deps, { percent: 100 });
}

async function announced(): Promise<string[]> {
  const { json } = await a.call('GET', '/v1/packs/damaged');
  return (json['packs'] as { packId: string }[]).map(({ packId }) => packId);
}

function replacement(oldId: string, newId: string, fields = {}): ReturnType<Client['request']> {
  const packs = [{ packRef: asPackRef('11'.repeat(16)), oldId: asPackId(oldId), newId: asPackId(newId) }];
  return a.request('pack-replaced', { packIds: [newId], attachment: encodeReplacement(packs), fields });
}

describe('what a scrub finds', () => {
  test('F-36: missing and rotten packs, with their snapshots; they are announced, noted, and no commit may name them', async () => {
    const [gone, flipped, good] = [await stored(), await stored(), await stored()];
    await lose(gone.id);
    await rot(flipped.id, flipped.bytes);
    const { damaged, packs } = await scrubAll();
    expect(packs).toBe(3);
    const found = damaged.map(({ packId, kind, snapshots }) => [packId, kind, ...snapshots]);
    expect(found.toSorted()).toEqual(
      [
        [gone.id, 'missing', gone.seq],
        [flipped.id, 'rotten', flipped.seq],
      ].toSorted(),
    );
    expect(await announced()).toEqual([gone.id, flipped.id].toSorted());
    const rows = await deps.db.read((manager) => manager.findBy(AuditEntity, { operation: 'pack-damaged' }));
    expect(rows.map(({ outcome }) => outcome).toSorted()).toEqual(['missing', 'rotten']);
    const answer = await a.append(a.snapshot([gone.id, good.id]));
    expect([answer.status, answer.json['missingPacks']]).toEqual([409, [gone.id]]);
    expect((await scrubAll()).damaged).toHaveLength(2);
  });

  test('two at once read every pack once, and a part of them goes on where the last ended', async () => {
    for (let i = 0; i < 6; i += 1) await stored();
    bed.knobs.now += 1000;
    const both = await Promise.all([scrub(deps, { percent: 100 }), scrub(deps, { percent: 100 })]);
    expect(both.reduce((sum, { packs }) => sum + packs, 0)).toBe(6);
    const times = new Set<number>();
    for (let run = 0; run < 3; run += 1) {
      bed.knobs.now += 1000;
      expect((await scrub(deps, { percent: 100 / 3 })).packs).toBe(2);
    }
    const rows = await deps.db.read((manager) => manager.find(PackEntity));
    for (const { scrubbedAt } of rows) times.add(scrubbedAt);
    expect([...times].toSorted()).toEqual([bed.knobs.now - 2000, bed.knobs.now - 1000, bed.knobs.now]);
  });

  test('F-36: objects of the journal come back from the database, a pack that turns up again is no longer damaged', async () => {
    const pack = await stored();
    await bed.blobs.delete(`v/${a.vaultId}/j/0000000001`);
    await bed.blobs.delete(`v/${a.vaultId}/s/1`);
    await lose(pack.id);
    expect(await scrubAll()).toMatchObject({ framesWritten: 2, damaged: [{ packId: pack.id }] });
    await bed.blobs.put(packKey(a.vaultId, pack.id), pack.bytes, { length: pack.bytes.length, sha256: pack.id });
    expect(await scrubAll()).toMatchObject({ framesWritten: 0, recovered: 1, damaged: [] });
    expect(await announced()).toEqual([]);
  });
});

describe('healing', () => {
  test('R-06: the very same bytes take the place of a rotten object; others do not', async () => {
    const pack = await stored();
    await rot(pack.id, pack.bytes);
    await scrubAll();
    expect((await a.call('PUT', `/v1/packs/${pack.id}`, makePack().bytes)).status).toBe(422);
    expect(await announced()).toEqual([pack.id]);
    expect((await a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes)).status).toBe(201);
    expect(await announced()).toEqual([]);
    expect((await a.call('GET', `/v1/packs/${pack.id}`)).bytes.equals(pack.bytes)).toBe(true);
    expect((await scrubAll()).damaged).toEqual([]);
  });

  test('R-06: an object that is whole after all is never removed, whatever is sent in its name', async () => {
    const pack = await stored();
    await lose(pack.id);
    await scrubAll();
    await bed.blobs.put(packKey(a.vaultId, pack.id), pack.bytes, { length: pack.bytes.length, sha256: pack.id });
    expect((await a.call('PUT', `/v1/packs/${pack.id}`, makePack().bytes)).status).toBe(409);
    expect((await a.call('GET', `/v1/packs/${pack.id}`)).bytes.equals(pack.bytes)).toBe(true);
  });

  test('R-06: only a damaged pack of the same mandate and size is replaced, and once', async () => {
    const [pack, other] = [await stored(4), await stored(4)];
    const next = makePack(4);
    const tiny = makePack(1);
    for (const each of [next, tiny]) await a.putPack(each);
    expect(codeOf(await a.append(replacement(pack.id, next.id)))).toEqual([409, 'conflict']); // it is whole
    await lose(pack.id);
    await scrubAll();
    expect(codeOf(await a.append(replacement(other.id, next.id)))).toEqual([409, 'conflict']);
    expect(codeOf(await a.append(replacement(pack.id, tiny.id)))).toEqual([409, 'conflict']);
    const foreign = { mandateRef: asMandateRef('22'.repeat(16)) };
    expect(codeOf(await a.append(replacement(pack.id, next.id, foreign)))).toEqual([409, 'conflict']);
    expect(codeOf(await a.append(replacement(pack.id, makePack(4).id)))).toEqual([409, 'missing-packs']);
    expect((await a.append(replacement(pack.id, next.id))).status).toBe(201);
    expect(await announced()).toEqual([]);
    const again = makePack(4);
    await a.putPack(again);
    expect(codeOf(await a.append(replacement(pack.id, again.id)))).toEqual([409, 'conflict']);
    expect((await a.call('PUT', `/v1/packs/${pack.id}`, pack.bytes)).status).toBe(410);
    const row = await deps.db.read((manager) => manager.findOneByOrFail(PackEntity, { packId: next.id }));
    expect(row).toMatchObject({ firstSeq: pack.seq, unreferencedSince: null });
  });

  test('a read that meets a pack that is gone announces it before any scrub', async () => {
    const pack = await stored();
    await lose(pack.id);
    expect((await a.call('GET', `/v1/packs/${pack.id}`)).status).toBe(502);
    expect(await announced()).toEqual([pack.id]);
  });
});
