import { randomBytes } from 'node:crypto';
import {
  asHash,
  asPackId,
  asPackRef,
  DEFAULT_PLAN,
  encodeLiveSet,
  encodeLostHistory,
  encodePlan,
  encodeReplacement,
  NO_MANDATE,
  publicKeyOf,
} from '@cresus-safe/protocol/public';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { addDevice, type Bed, Client, makePack, startBed } from './conversation.test.bed.ts';
import { PackEntity, SnapshotEntity } from './entities.ts';

import { codeOf, firstSnapshot, journalOf, siblingWith } from './journal.test.bed.ts';

let bed: Bed;
let a: Client;

beforeEach(async () => {
  bed = await startBed();
  a = await bed.subscriber('1001');
});

afterEach(() => bed.close());

const withRights = (rights: string) => siblingWith(bed, a, rights);
const begin = () => firstSnapshot(a);

describe('who may append', () => {
  test('R-01: a token without the vault key appends neither entry nor header', async () => {
    await a.createVault();
    const thief = randomBytes(32);
    expect(codeOf(await a.append(a.request('snapshot-add', { attachment: randomBytes(9), seed: thief })))).toEqual([
      403,
      'bad-signature',
    ]);
    const header = a.nextHeader({ publicKey: publicKeyOf(thief) }, thief);
    const change = a.request('slot-change', { attachment: header.bytes, share: a.share, seed: thief });
    expect(codeOf(await a.append(change))).toEqual([403, 'bad-signature']);
    const swap = a.request('slot-change', { attachment: header.bytes, share: a.share });
    expect(codeOf(await a.append(swap))).toEqual([400, 'bad-entry']);
    expect((await journalOf(a)).frames).toHaveLength(1);
  });

  test('a pending device may look at the vault and nothing else', async () => {
    const { snapshot } = await begin();
    const pending = a.sibling();
    await addDevice(bed.deps.db, pending, 'pending');
    expect((await pending.call('GET', '/v1/vault')).status).toBe(200);
    const pack = makePack();
    for (const [method, path, body] of [
      ['GET', '/v1/journal'],
      ['GET', `/v1/records/${snapshot.id}`],
      ['GET', `/v1/packs/${pack.id}`],
      ['PUT', `/v1/packs/${pack.id}`, pack.bytes],
      ['POST', '/v1/packs/keep', { packIds: [pack.id] }],
      ['POST', '/v1/seen', { mandateRefs: [a.mandateRef] }],
      ['POST', '/v1/journal', pending.snapshot([]).bytes],
      ['POST', '/v1/journal/heal', Buffer.alloc(0)],
    ] as const)
      expect([path, ...codeOf(await pending.call(method, path, body))]).toEqual([path, 403, 'pending']);
  });

  test('the device that creates the vault is active, all others prove themselves', async () => {
    const second = new Client(bed.url, a.number);
    await addDevice(bed.deps.db, second, 'active');
    const third = new Client(bed.url, a.number);
    await addDevice(bed.deps.db, third, 'pending');
    expect((await third.createVault()).status).toBe(201);
    expect((await third.append(third.snapshot([]))).status).toBe(201);
    expect(codeOf(await second.call('GET', '/v1/journal'))).toEqual([403, 'pending']);
    expect(codeOf(await a.call('GET', '/v1/journal'))).toEqual([403, 'pending']);
  });

  test('one vault per subscriber, one subscriber per vault', async () => {
    await a.createVault();
    const again = new Client(bed.url, a.number);
    const header = again.nextHeader();
    const request = again.request('vault-create', {
      attachment: header.bytes,
      share: again.share,
      fields: { deviceId: a.deviceId },
    });
    expect(codeOf(await a.call('POST', '/v1/journal', request.bytes))).toEqual([409, 'vault-exists']);
    const b = await bed.subscriber('1002');
    b.vaultId = a.vaultId;
    expect(codeOf(await b.createVault())).toEqual([409, 'vault-exists']);
    expect(codeOf(await b.call('GET', '/v1/vault'))).toEqual([404, 'vault-none']);
  });

  test('an entry in the name of another device or vault is refused', async () => {
    await a.createVault();
    const b = await bed.subscriber('1002');
    await b.createVault();
    const otherDevice = a.request('snapshot-add', { attachment: randomBytes(9), fields: { deviceId: b.deviceId } });
    expect(codeOf(await a.append(otherDevice))).toEqual([400, 'bad-entry']);
    const otherVault = b.request('snapshot-add', { attachment: randomBytes(9), fields: { deviceId: a.deviceId } });
    expect(codeOf(await a.call('POST', '/v1/journal', otherVault.bytes))).toEqual([400, 'bad-entry']);
  });

  test('TN-04: another’s record looks exactly like one that does not exist', async () => {
    await a.createVault();
    const b = await bed.subscriber('1002');
    await b.createVault();
    const theirs = b.snapshot([]);
    await b.append(theirs);
    const [real, random] = [
      await a.call('GET', `/v1/records/${theirs.id}`),
      await a.call('GET', `/v1/records/${'0'.repeat(64)}`),
    ];
    expect([real?.status, real?.json]).toEqual([random?.status, random?.json]);
    expect(real?.status).toBe(404);
  });

  test('a device without the right to append appends nothing', async () => {
    await a.createVault();
    const reader = await withRights('read');
    expect(codeOf(await reader.append(reader.snapshot([])))).toEqual([403, 'forbidden']);
    const pack = makePack();
    expect(codeOf(await reader.call('PUT', `/v1/packs/${pack.id}`, pack.bytes))).toEqual([403, 'forbidden']);
  });
});

describe('rules of the kinds', () => {
  test('slot-change: next number, same key, fitting share', async () => {
    await a.createVault();
    const change = (over: object, share = a.share) => {
      const header = a.nextHeader(over);
      return { header, request: a.request('slot-change', { attachment: header.bytes, share }) };
    };
    expect(codeOf(await a.append(change({ headerSeq: 3 }).request))).toEqual([400, 'bad-entry']);
    a.share = randomBytes(32);
    const good = change({});
    expect((await a.append(good.request)).status).toBe(201);
    const shown = await a.call('GET', '/v1/vault');
    expect(Buffer.from(shown.json['header'] as string, 'base64').equals(good.header.bytes)).toBe(true);
    expect(Buffer.from(shown.json['share'] as string, 'base64').equals(a.share)).toBe(true);
  });

  test('generation: signed by the old key, and the old key signs nothing afterwards', async () => {
    await a.createVault();
    const [oldSeed, newSeed] = [a.seed, randomBytes(32)];
    const earlier = (publicKey: Uint8Array) => [{ generation: 0, publicKey, sealed: randomBytes(48) }];
    const forged = a.nextHeader(
      { generation: 1, publicKey: publicKeyOf(newSeed), earlier: earlier(randomBytes(32)) },
      newSeed,
    );
    const wrong = a.request('generation', { attachment: forged.bytes, share: a.share });
    expect(codeOf(await a.append(wrong))).toEqual([400, 'bad-entry']);
    const header = a.nextHeader(
      { generation: 1, publicKey: publicKeyOf(newSeed), earlier: earlier(publicKeyOf(oldSeed)) },
      newSeed,
    );
    expect((await a.append(a.request('generation', { attachment: header.bytes, share: a.share }))).status).toBe(201);
    expect(codeOf(await a.append(a.snapshot([])))).toEqual([403, 'bad-signature']);
    a.header = header;
    a.seed = newSeed;
    expect((await a.append(a.snapshot([]))).status).toBe(201);
  });

  test('forgetting needs an elevation, and can be undone', async () => {
    const { snapshot } = await begin();
    const of = (client: Client, kind: 'snapshot-forget' | 'snapshot-unforget', id = snapshot.id) =>
      client.request(kind, { fields: { subject: asHash(id) } });
    expect(codeOf(await a.append(of(a, 'snapshot-forget')))).toEqual([403, 'elevation-required']);
    expect(codeOf(await a.append(of(a, 'snapshot-unforget')))).toEqual([409, 'conflict']);
    const elevated = await withRights('read,append,forget');
    expect(codeOf(await elevated.append(of(elevated, 'snapshot-forget', 'a'.repeat(64))))).toEqual([404, 'not-found']);
    expect((await elevated.append(of(elevated, 'snapshot-forget'))).status).toBe(201);
    expect(codeOf(await elevated.append(of(elevated, 'snapshot-forget')))).toEqual([409, 'conflict']);
    a.head = elevated.head;
    expect((await a.append(of(a, 'snapshot-unforget'))).status).toBe(201);
    const rows = await bed.deps.db.read((m) => m.find(SnapshotEntity));
    expect(rows.map(({ forgottenSeq }) => forgottenSeq)).toEqual([null]);
  });

  test('a hold only grows, reaches twelve years at most, and protects from forgetting', async () => {
    const { snapshot } = await begin();
    const hold = (holdUntil: number) =>
      a.request('year-closed', { fields: { subject: asHash(snapshot.id), holdUntil } });
    expect(codeOf(await a.append(hold(20391231)))).toEqual([422, 'hold-too-far']);
    expect((await a.append(hold(20361231))).status).toBe(201);
    expect(codeOf(await a.append(hold(20351231)))).toEqual([409, 'conflict']);
    expect((await a.append(hold(20371231))).status).toBe(201);
    const elevated = await withRights('read,append,forget');
    elevated.head = a.head;
    const forget = elevated.request('snapshot-forget', { fields: { subject: asHash(snapshot.id) } });
    expect(codeOf(await elevated.append(forget))).toEqual([409, 'conflict']);
  });

  test('a longer plan is taken, a shorter one needs an elevation', async () => {
    await a.createVault();
    const plan = (client: Client, allDays: number) =>
      client.request('plan', { attachment: encodePlan({ ...DEFAULT_PLAN, allDays }) });
    expect(codeOf(await a.append(plan(a, 29)))).toEqual([403, 'elevation-required']);
    expect((await a.append(plan(a, 60))).status).toBe(201);
    expect(codeOf(await a.append(plan(a, 59)))).toEqual([403, 'elevation-required']);
    const elevated = await withRights('read,append,forget');
    elevated.head = a.head;
    expect((await elevated.append(plan(elevated, 59))).status).toBe(201);
  });

  test('the same snapshot twice is refused', async () => {
    await a.createVault();
    const record = randomBytes(500);
    expect((await a.append(a.snapshot([], record))).status).toBe(201);
    expect(codeOf(await a.append(a.snapshot([], record)))).toEqual([409, 'conflict']);
  });

  test('pack-replaced, checkpoint and rollback-accepted are kept', async () => {
    const { packIds, snapshot } = await begin();
    const newId = await a.putPack();
    const lostPack = { vaultId: a.vaultId, packId: packIds[0] ?? '' };
    await bed.deps.db.write((m) => m.update(PackEntity, lostPack, { damagedSince: bed.knobs.now }));
    const attachment = encodeReplacement([
      { packRef: asPackRef(randomBytes(16)), oldId: asPackId(packIds[0] ?? ''), newId: asPackId(newId) },
    ]);
    expect((await a.append(a.request('pack-replaced', { attachment, packIds: [newId] }))).status).toBe(201);
    const live = { snapshotId: asHash(snapshot.id) as never, seq: 2, mandateRef: a.mandateRef, holdUntil: 0 };
    const kept = [a.request('checkpoint', { attachment: encodeLiveSet([live]), fields: { mandateRef: NO_MANDATE } })];
    for (const request of kept) expect((await a.append(request)).status).toBe(201);
    const lost = encodeLostHistory({ base: 2, lostHead: 3, hashes: [asHash('ab'.repeat(32))] });
    expect((await a.append(a.request('rollback-accepted', { attachment: lost }))).status).toBe(201);
    const { frames } = await journalOf(a);
    expect(frames.slice(2).map(({ attached }) => attached?.type)).toEqual(['replacement', 'live-set', 'lost-history']);
  });

  test('TN-35, TN-36: an expired subscription sends nothing, but may still change the secret', async () => {
    const { snapshot } = await begin();
    const packId = await a.putPack();
    const active = bed.knobs.subscription;
    bed.knobs.subscription = { ...active, state: 'read-only', maySend: false, expiresOn: '2026-11-01' };
    const answer = await a.append(a.snapshot([packId]));
    expect(codeOf(answer)).toEqual([402, 'subscription-expired']);
    expect(answer.json['expiresOn']).toBe('2026-11-01');
    const header = a.nextHeader();
    const change = a.request('slot-change', { attachment: header.bytes, share: a.share });
    expect((await a.append(change)).status).toBe(201);
    expect((await a.call('GET', `/v1/records/${snapshot.id}`)).status).toBe(200);
    bed.knobs.subscription = active;
    expect((await a.append(a.snapshot([packId]))).status).toBe(201);
    bed.knobs.subscription = { ...active, state: 'closed', maySend: false, mayRestore: false };
    for (const path of ['/v1/journal', '/v1/vault', `/v1/records/${snapshot.id}`])
      expect(codeOf(await a.call('GET', path))).toEqual([410, 'closed']);
  });
});
