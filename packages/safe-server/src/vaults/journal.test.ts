import { randomBytes } from 'node:crypto';
import {
  asHash,
  chainHash,
  DEFAULT_PLAN,
  encodeHistory,
  encodePlan,
  parseFrame,
  parseHistory,
  parseReceipt,
  verifyReceipt,
} from '@cresus-safe/protocol/public';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { journalKey, shareKey } from '../blobs/keys.ts';
import { readBlob } from '../blobs/store.ts';
import { type Bed, type Client, makePack, sha256, startBed } from './conversation.test.bed.ts';
import { MandateEntity, PackEntity } from './entities.ts';

import { codeOf, firstSnapshot, journalOf, requestOf, siblingWith } from './journal.test.bed.ts';

let bed: Bed;
let a: Client;

beforeEach(async () => {
  bed = await startBed();
  a = await bed.subscriber('1001');
});

afterEach(() => bed.close());

const withRights = (rights: string) => siblingWith(bed, a, rights);
const begin = () => firstSnapshot(a);

describe('a vault and its journal', () => {
  test('create, send, list, read back: every receipt is good and the bucket holds the same', async () => {
    const { packIds, snapshot } = await begin();
    const { frames, head } = await journalOf(a);
    expect(frames.map(({ entry }) => entry.kind)).toEqual(['vault-create', 'snapshot-add']);
    expect(head).toBe('2');
    for (const { receipt } of frames) verifyReceipt(receipt, bed.deps.ring.receiptKeys(), frames[0]?.receipt.serverId);
    expect(frames[1]?.receipt.bytes).toBe(2 * 262_144);
    expect(frames[1]?.receipt.time).toBe(bed.knobs.now);
    expect(chainHash(frames[1]?.entry.bytes ?? a.seed, frames[1]?.receipt.encoded ?? a.seed)).toBe(a.head.hash);
    const stored = await readBlob(bed.blobs, journalKey(a.vaultId, 2), 1e7);
    const frame = parseFrame(stored ?? Buffer.alloc(0));
    expect(frame.packIds).toEqual(packIds.toSorted());
    const record = await a.call('GET', `/v1/records/${snapshot.id}`);
    expect(sha256(record.bytes)).toBe(snapshot.id);
    expect(Buffer.compare(record.bytes, frame.attachment)).toBe(0);
  });

  test('a device that knows the vault gets header, share and a challenge; only the bucket’s share is sealed', async () => {
    await a.createVault();
    const answer = await a.call('GET', '/v1/vault');
    expect(answer.json['head']).toEqual(a.head);
    expect(Buffer.from(answer.json['share'] as string, 'base64').equals(a.share)).toBe(true);
    expect(Buffer.from(answer.json['challenge'] as string, 'base64')).toHaveLength(32);
    const sealed = await readBlob(bed.blobs, shareKey(a.vaultId, 1), 4096);
    expect(sealed?.includes(Buffer.from(a.share))).toBe(false);
    expect(bed.deps.ring.open(shareKey(a.vaultId, 1), sealed ?? Buffer.alloc(0)).equals(a.share)).toBe(true);
  });

  test('before there is a vault, everything says so', async () => {
    const pack = makePack();
    for (const [method, path, body] of [
      ['GET', '/v1/vault'],
      ['GET', '/v1/journal'],
      ['PUT', `/v1/packs/${pack.id}`, pack.bytes],
      ['POST', '/v1/seen', { mandateRefs: [a.mandateRef] }],
    ] as const)
      expect(codeOf(await a.call(method, path, body))).toEqual([404, 'vault-none']);
  });

  test('pages: limit, after, and nothing beyond the head', async () => {
    await begin();
    for (let i = 0; i < 5; i++)
      expect((await a.append(a.request('plan', { attachment: encodePlan(DEFAULT_PLAN) }))).status).toBe(201);
    expect((await journalOf(a, '?limit=3')).frames.map(({ entry }) => entry.seq)).toEqual([1, 2, 3]);
    expect((await journalOf(a, '?after=5&limit=3')).frames.map(({ entry }) => entry.seq)).toEqual([6, 7]);
    expect((await journalOf(a, '?after=7')).frames).toEqual([]);
    for (const query of ['?limit=0', '?limit=501', '?after=-1', '?after=x', '?after=1&after=2', '?x=1'])
      expect((await a.call('GET', `/v1/journal${query}`)).status).toBe(400);
  });

  test('nothing changed: the mandate has given a sign of life', async () => {
    await begin();
    bed.knobs.now += 5000;
    const answer = await a.call('POST', '/v1/seen', { mandateRefs: [a.mandateRef, 'f'.repeat(32)] });
    expect(answer.status).toBe(204);
    const rows = await bed.deps.db.read((m) => m.find(MandateEntity));
    expect(rows).toMatchObject([{ mandateRef: a.mandateRef, lastSeenAt: bed.knobs.now }]);
  });
});

describe('the chain', () => {
  test('F-06, F-15, TN-53: the same entry again gets its first receipt', async () => {
    await a.createVault();
    const request = a.snapshot([await a.putPack()]);
    const first = await a.append(request);
    bed.knobs.now += 60_000;
    const again = await a.call('POST', '/v1/journal', request.bytes);
    expect(again.status).toBe(200);
    expect(again.json).toEqual(first.json);
    expect((await journalOf(a)).frames).toHaveLength(2);
  });

  test('F-40: one request sent twice at once has one effect', async () => {
    const create = a.nextHeader();
    const request = a.request('vault-create', { attachment: create.bytes, share: a.share });
    const answers = await Promise.all([1, 2].map(() => a.call('POST', '/v1/journal', request.bytes)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 201]);
    expect(answers[0]?.json).toEqual(answers[1]?.json);
  });

  test('TN-28: a stale previous gets 409 with the head', async () => {
    await a.createVault();
    const stale = a.snapshot([]);
    expect((await a.append(a.snapshot([]))).status).toBe(201);
    const answer = await a.call('POST', '/v1/journal', stale.bytes);
    expect(codeOf(answer)).toEqual([409, 'stale-head']);
    expect(answer.json['head']).toEqual(a.head);
    const ahead = a.request('snapshot-add', { attachment: randomBytes(50), fields: { seq: a.head.seq + 2 } });
    expect(codeOf(await a.call('POST', '/v1/journal', ahead.bytes))).toEqual([409, 'stale-head']);
    const fork = a.request('snapshot-add', {
      attachment: randomBytes(50),
      fields: { previous: asHash('1'.repeat(64)) },
    });
    expect(codeOf(await a.call('POST', '/v1/journal', fork.bytes))).toEqual([409, 'stale-head']);
  });

  test('TN-28, F-11: of entries that race for one place exactly one gets it, fifty times', async () => {
    await a.createVault();
    const b = await withRights('read,append');
    for (let round = 0; round < 50; round++) {
      b.head = a.head;
      const requests = [a.snapshot([]), b.snapshot([]), a.snapshot([])];
      const answers = await Promise.all(
        requests.map((request, i) => (i === 1 ? b : a).call('POST', '/v1/journal', request.bytes)),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
      const won = answers.findIndex(({ status }) => status === 201);
      const receipt = Buffer.from(answers[won]?.json['receipt'] as string, 'base64');
      a.head = { seq: a.head.seq + 1, hash: chainHash(requests[won]?.entry ?? receipt, receipt) };
    }
    expect((await journalOf(a)).frames).toHaveLength(51);
  });

  test('TN-29: an entry without a valid previous is malformed', async () => {
    await a.createVault();
    const { entry } = a.snapshot([]);
    const zero = Buffer.from(entry).fill(0, 36, 68);
    const record = randomBytes(40);
    for (const bytes of [
      requestOf(zero, record),
      requestOf(entry.subarray(0, 100), record),
      Buffer.from('junk'),
      Buffer.alloc(0),
    ]) {
      const answer = await a.call('POST', '/v1/journal', bytes);
      expect(answer.status).toBe(400);
    }
    expect((await journalOf(a)).frames).toHaveLength(1);
  });

  test('TN-30: packs that were never uploaded, or are another’s, are named and nothing is appended', async () => {
    await a.createVault();
    const b = await bed.subscriber('1002');
    await b.createVault();
    const [mine, theirs, none] = [await a.putPack(), await b.putPack(), sha256(Buffer.from('none'))];
    const answer = await a.append(a.snapshot([mine, theirs, none]));
    expect(codeOf(answer)).toEqual([409, 'missing-packs']);
    expect(answer.json['missingPacks']).toEqual([theirs, none].sort());
    expect((await journalOf(a)).frames).toHaveLength(1);
  });

  test('TN-30: a pack that is being deleted is missing; a condemned one lives again', async () => {
    await a.createVault();
    const [condemned, deleting] = [await a.putPack(), await a.putPack()];
    const { vaultId } = a;
    await bed.deps.db.write(async (m) => {
      await m.update(PackEntity, { vaultId, packId: condemned }, { state: 'condemned' });
      await m.update(PackEntity, { vaultId, packId: deleting }, { state: 'deleting' });
    });
    const answer = await a.append(a.snapshot([condemned, deleting]));
    expect(answer.json['missingPacks']).toEqual([deleting]);
    expect((await a.append(a.snapshot([condemned]))).status).toBe(201);
    const row = await bed.deps.db.read((m) => m.findOneByOrFail(PackEntity, { vaultId, packId: condemned }));
    expect(row).toMatchObject({ state: 'stored', unreferencedSince: null, firstSeq: 2, lastSeq: 2 });
  });

  test('TN-31: what is too long is refused', async () => {
    await a.createVault();
    const entry = await a.call('POST', '/v1/journal', requestOf(Buffer.alloc(4097), Buffer.alloc(0)));
    expect(codeOf(entry)).toEqual([413, 'too-large']);
    const record = await a.call(
      'POST',
      '/v1/journal',
      requestOf(a.snapshot([]).entry, Buffer.alloc(4 * 1024 * 1024 + 1)),
    );
    expect(codeOf(record)).toEqual([413, 'too-large']);
    expect(codeOf(await a.call('POST', '/v1/journal', Buffer.alloc(8 * 1024 * 1024)))).toEqual([413, 'too-large']);
  });

  test('a record of 4 MiB is taken', async () => {
    await a.createVault();
    const snapshot = a.snapshot([], randomBytes(4 * 1024 * 1024));
    expect((await a.append(snapshot)).status).toBe(201);
    expect(sha256((await a.call('GET', `/v1/records/${snapshot.id}`)).bytes)).toBe(snapshot.id);
  });
});

test('TN-31: a flood of entries is slowed down', async () => {
  await bed.close();
  bed = await startBed({ entriesPerHour: 3 });
  a = await bed.subscriber('1001');
  await a.createVault();
  for (let i = 0; i < 2; i++) expect((await a.append(a.snapshot([]))).status).toBe(201);
  const answer = await a.append(a.snapshot([]));
  expect(codeOf(answer)).toEqual([429, 'rate-limited']);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  bed.knobs.now += 3600 * 1000;
  expect((await a.append(a.snapshot([]))).status).toBe(201);
});

test('frames of the history are those of the protocol', async () => {
  await a.createVault();
  const { bytes } = await a.call('GET', '/v1/journal');
  const [frame] = parseHistory(bytes);
  if (frame === undefined) throw new Error('there is one entry');
  const { entry, attachment, receipt } = frame;
  expect(parseReceipt(receipt.encoded)).toEqual(receipt);
  const again = encodeHistory([{ entry: entry.bytes, attachment, receipt: receipt.encoded }]);
  expect(Buffer.from(again).equals(bytes)).toBe(true);
});
