import { encodePlan, type Hash, PACK_GRANULE_BYTES, pathOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fill, type Operation, operationsOf } from '../support/api.ts';
import { type Answer, ProtocolClient, randomId, type SealedPack } from '../support/protocol-client.ts';
import { head, rawAsk } from '../support/raw-http.ts';
import { Tenants } from '../support/tenants.ts';

let tenants: Tenants;
let operations: Operation[];
let pack: SealedPack;
/** For every name of an id in a path: one that belongs to B. */
let idsOfB: Record<string, string>;

beforeAll(async () => {
  tenants = await Tenants.create();
  operations = await operationsOf(tenants.url);
  const sent = await tenants.b.send();
  pack = sent.pack;
  idsOfB = { packId: pack.packId, snapshotId: sent.id, deviceId: tenants.b.deviceId };
  await tenants.a.send();
});
afterAll(() => tenants[Symbol.asyncDispose]());

/** Everything of an answer that could tell one id from another. */
function seen({ status, headers, bytes }: Answer): object {
  const shown = [...headers].filter(([name]) => name !== 'date' && name !== 'x-request-id');
  return { status, headers: Object.fromEntries(shown), body: bytes.toString('latin1') };
}

type Try = readonly [
  name: string,
  method: string,
  body?: Uint8Array | object | undefined,
  headers?: Record<string, string>,
];
const TRIES: readonly Try[] = [
  ['GET', 'GET'],
  ['GET of a range', 'GET', undefined, { range: 'bytes=0-9' }],
  ['GET of what was never there', 'GET', undefined, { range: 'bytes=9-0' }],
  ['GET if changed', 'GET', undefined, { 'if-none-match': '*' }],
  ['HEAD', 'HEAD'],
  ['PUT', 'PUT', new Uint8Array(PACK_GRANULE_BYTES)],
  ['PUT of nothing', 'PUT', new Uint8Array(0)],
  ['PUT if new', 'PUT', new Uint8Array(PACK_GRANULE_BYTES), { 'if-none-match': '*' }],
  ['PATCH', 'PATCH', new Uint8Array(10)],
  ['POST', 'POST', {}],
  ['DELETE', 'DELETE'],
];

describe('TN-04 ids of another subscriber', () => {
  it('TN-04 every route that takes an id in its path has a case here', () => {
    const parameters = new Set(operations.flatMap(({ pathParameters }) => pathParameters));
    expect([...parameters].toSorted()).toEqual(Object.keys(idsOfB).toSorted());
  });

  it('TN-04 exist: their owner gets an answer that a random id does not give', async () => {
    const { b } = tenants;
    for (const path of [
      fill('/v1/packs/{packId}', pack.packId),
      fill('/v1/records/{snapshotId}', String(idsOfB['snapshotId'])),
    ])
      expect((await b.call('GET', path)).status).toBe(200);
    const { devices } = (await b.call('GET', pathOf('devices'))).json as { devices: { deviceId: string }[] };
    expect(devices.map(({ deviceId }) => deviceId)).toEqual([idsOfB['deviceId']]);
  });

  it('TN-04 look exactly like random ids, on every route, by every method', async () => {
    const { a } = tenants;
    let compared = 0;
    const paths = new Set(operations.filter((each) => each.pathParameters.length > 0).map(({ path }) => path));
    for (const path of paths)
      for (const [name, method, body, headers] of TRIES) {
        const random = fill(path, (parameter) => randomId(idsOfB[parameter]?.length === 32 ? 32 : 64));
        const foreign = fill(path, (parameter) => idsOfB[parameter] ?? '');
        const expected = seen(await a.call(method, random, body, headers));
        expect({ path, name, ...seen(await a.call(method, foreign, body, headers)) }).toEqual({
          path,
          name,
          ...expected,
        });
        expect((expected as { status: number }).status).toBeGreaterThanOrEqual(400);
        compared += 1;
      }
    expect(compared).toBe(paths.size * TRIES.length);
  });

  it('TN-04 in bodies and entries are worth as much as random ones', async () => {
    const { a, b } = tenants;
    const twins: [string, (id: string) => Promise<Answer>, foreign: string, digits: 32 | 64][] = [
      ['keep', (id) => a.call('POST', pathOf('keepPacks'), { packIds: [id] }), pack.packId, 64],
      ['seen', (id) => a.call('POST', pathOf('seen'), { mandateRefs: [id] }), b.mandate.ref, 32],
      ['journal', (id) => a.append(aboutSnapshot(id)), String(idsOfB['snapshotId']), 64],
      [
        'device',
        (id) => a.append(a.request('plan', { attachment: plan(), fields: { deviceId: id as never } })),
        b.deviceId,
        32,
      ],
      [
        'vault',
        (id) => a.append(a.request('plan', { attachment: plan(), fields: { vaultId: id as never } })),
        b.keys.vaultId,
        32,
      ],
    ];
    for (const [name, call, foreign, digits] of twins) {
      const random = randomId(digits);
      const [theirs, nobodys] = [seen(await call(foreign)), seen(await call(random))];
      // `keep` names what is missing, which the client named itself
      expect(JSON.parse(JSON.stringify({ name, theirs }).replaceAll(foreign, random))).toEqual({
        name,
        theirs: nobodys,
      });
    }
    expect(await b.used()).toEqual({ usedBytes: PACK_GRANULE_BYTES, usedObjects: 1 });
  });
});

const plan = (): Uint8Array => encodePlan({ allDays: 40, weeklyDays: 400, monthlyDays: 4000 });

function aboutSnapshot(id: string) {
  const { a } = tenants;
  return a.request('year-closed', {
    fields: { subject: id as Hash, mandateRef: a.mandate.ref, holdUntil: 20_271_231 },
  });
}

describe('TN-05, TN-21 what lies in the bucket', () => {
  it('TN-05 a pack that somebody else has is stored once more, and nothing tells of the other', async () => {
    const { a, b } = tenants;
    const before = await a.used();
    const own = await a.put(a.seal());
    const same = await a.put(pack);
    expect([own.status, same.status]).toEqual([201, 201]);
    expect(seen(same)).toEqual(seen(own));
    expect(await a.used()).toEqual({
      usedBytes: before.usedBytes + 2 * PACK_GRANULE_BYTES,
      usedObjects: before.usedObjects + 2,
    });
    for (const { keys } of [a, b]) expect(tenants.objects(`v/${keys.vaultId}/p/`)).toContain(pack.packId);
    expect((await a.call('GET', pathOf('pack', { packId: pack.packId }))).bytes.equals(pack.bytes)).toBe(true);
  });

  it('TN-21 keys of objects are built from what the database knows, never from what was sent', async () => {
    const { a } = tenants;
    const names = ['..%2f..%2fmeta%2fclock', '%2e%2e', `${pack.packId}%2fx`, `${pack.packId}%00`, '.', '%2f', '%5c..'];
    for (const name of names) {
      const body = new Uint8Array(PACK_GRANULE_BYTES);
      const [first, type] = [`PUT /v1/packs/${name}`, 'content-type: application/octet-stream'];
      const headers = [`host: x`, `authorization: Bearer ${a.token}`, type, `content-length: ${body.length}`];
      const { status } = await rawAsk(tenants.url, Buffer.concat([Buffer.from(head(first, headers)), body]));
      expect([name, [400, 404].includes(status)]).toEqual([name, true]);
    }
    const vault = `v/(${a.keys.vaultId}|${tenants.b.keys.vaultId})`;
    const known = new RegExp(
      `^(${vault}/(p/[0-9a-f]{64}|j/[0-9]{10}|s/[0-9]+)|a/[0-9]+/([0-9]+|d/[0-9a-f]{32}/[0-9]+)|meta/clock(/.*)?|l/.*)$`,
    );
    expect(tenants.objects().filter((key) => !known.test(key))).toEqual([]);
  });
});

it('TN-30 packs of another subscriber, or that were never uploaded, are missing: nothing is appended', async () => {
  const { a } = tenants;
  const head = (await a.account())['head'];
  const theirs = await tenants.b.send();
  for (const missing of [theirs.pack, a.seal()]) {
    const answer = await a.append(a.snapshot(missing));
    expect([answer.status, answer.json['missingPacks']]).toEqual([409, [missing.packId]]);
  }
  expect((await a.account())['head']).toEqual(head);
  const stranger = new ProtocolClient(a.url, a);
  await stranger.prepareVault();
  expect((await stranger.append(await stranger.prepareVault())).status).toBe(409);
});
