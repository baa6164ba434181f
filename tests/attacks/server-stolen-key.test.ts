import { mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import {
  asHash,
  type CatalogNode,
  COMPRESSION,
  CONTENT_CLASS,
  chunkParams,
  cutChunks,
  type PackRef,
  sha256,
} from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { HostileServer } from '../support/hostile.ts';
import { noise } from '../support/noise.ts';
import { ProtocolClient, type SealedPack } from '../support/protocol-client.ts';
import { catalogOf, type ForgedSegment, forgePack, forgeSnapshot } from '../support/stolen-key.ts';
import { Victim } from '../support/victim.ts';
import { World } from '../support/world.ts';

jest.setTimeout(300_000); // dozens of processes, on a busy machine too

const MIB = 1024 * 1024;
const DOCUMENT = CONTENT_CLASS.document;
const restoring = ['restore', 'Dupont SA', '--snapshot', 'latest', '--as', 'Dupont SA'];

let victim: Victim;
/** Another computer of the same vault that turned bad. It keeps to the protocol, so that the server takes all it sends. */
let attacker: ProtocolClient;

beforeAll(async () => {
  const world = await World.create();
  const line = await HostileServer.before(world.server.url);
  const subscriber = await world.server.addSubscriber();
  attacker = await ProtocolClient.withVault(world.server.url, subscriber.enrolmentCode);
  const code = await world.server.newCode(subscriber.number);
  const agent = await world.connected(code, { url: line.url, secret: 'un secret bien long' });
  victim = new Victim(world, line, subscriber, agent);
  mkdirSync(world.path('mandats'));
  await agent.json(['mandate', 'root', world.path('mandats')]);
  await agent.json(['anchor', '--without-anchor']);
});
afterAll(() => victim[Symbol.asyncDispose]());

async function publish(pack: SealedPack): Promise<void> {
  expect((await attacker.put(pack)).status).toBe(201);
  expect((await attacker.append(attacker.snapshot(pack))).status).toBe(201);
  const { remote } = await victim.engine(); // the entry itself is genuine, so it is taken over now
  remote.close();
}

/** One file of a catalog, which lies whole in segment 0 unless `extents` say otherwise. */
function file(path: string, content: Uint8Array, packRef: PackRef, extents?: [number, number, number][]): CatalogNode {
  const parts = extents ?? [[0, 0, content.length] as const];
  return {
    type: 'file',
    path,
    mtime: 0,
    mode: 0o600,
    size: content.length,
    sha256: asHash(sha256(content)),
    extents: parts.map(([segment, offset, length]) => ({ packRef, segment, offset, length })),
  };
}

/** A pack of these segments with one file that is said to have `content`. */
const withFile = (segments: ForgedSegment[], content: Uint8Array): SealedPack =>
  forgeSnapshot(attacker, segments, (packRef) => catalogOf([file('livre.cre', content, packRef)]));

const frameOf = (plain: Uint8Array, contentSize = 1): Uint8Array =>
  zstdCompressSync(plain, {
    pledgedSrcSize: plain.length,
    params: { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_contentSizeFlag]: contentSize },
  });
const compressed = (payload: Uint8Array, plainLength: number): ForgedSegment[] => [
  { contentClass: DOCUMENT, payload, plainLength, compression: COMPRESSION.zstd },
];

describe('what another computer of the vault publishes', () => {
  it('the harness itself: what it forges without a defect restores', async () => {
    const content = noise('honest', 5_000);
    await publish(withFile([{ contentClass: DOCUMENT, payload: content }], content));
    const target = victim.target();
    await victim.agent.restore('Dupont SA', '--snapshot', 'latest', '--to', target);
    expect(readFileSync(join(target, 'livre.cre')).equals(content)).toBe(true);
    rmSync(target, { recursive: true });
  });

  it('MS-05 two segments that changed places, in a pack that is named right, do not open', async () => {
    const [one, two] = [noise('one', 4_000), noise('two', 4_000)];
    const segments = [
      { contentClass: DOCUMENT, payload: two, sealedAs: 1 },
      { contentClass: DOCUMENT, payload: one, sealedAs: 0 },
    ];
    await publish(withFile(segments, one));
    await victim.repels({}, restoring, [10, 'integrity']);
  });

  it('MS-06 content of a file that is shaped like a catalog is none', async () => {
    const catalog = catalogOf([{ type: 'folder', path: 'piégé', mtime: 0, mode: 0o700 }]);
    const { mandate, keys } = attacker;
    const pack = forgePack(mandate, keys.generation, [{ contentClass: DOCUMENT, payload: catalog }]);
    await publish({ ...pack, catalog, catalogSegment: 0 });
    await victim.repels({}, restoring, [10, 'integrity']);
  });

  it('MS-29 MS-30 a compression bomb or a cut frame, under a genuine seal, is refused', async () => {
    const plain = Buffer.alloc(1000, 'texte ');
    const bomb = frameOf(Buffer.alloc(256 * MIB));
    expect(bomb.length).toBeLessThan(64 * 1024);
    const frame = frameOf(plain);
    const cases: Uint8Array[] = [
      bomb,
      frameOf(Buffer.alloc(256 * MIB), 0),
      frame.subarray(0, frame.length - 4),
      frame.subarray(0, frame.length - 1),
      frame.subarray(0, frame.length >> 1),
    ];
    for (const payload of cases) {
      await publish(withFile(compressed(payload, plain.length), plain));
      await victim.repels({}, restoring, [10, 'integrity']);
    }
  });

  it('MS-39 a size that the parts of a file do not give, or that no disk holds, is refused before anything is written', async () => {
    const content = noise('sized', 3_000);
    const segments = [{ contentClass: DOCUMENT, payload: content }];
    const sizeAt = 8 + 1 + 2 + 'livre.cre'.length + 8 + 2; // SPEC 11
    for (const size of [3_001n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 53n - 1n]) {
      const pack = forgeSnapshot(attacker, segments, (packRef) => {
        const catalog = Buffer.from(catalogOf([file('livre.cre', content, packRef)]));
        catalog.writeBigUInt64BE(size, sizeAt);
        return catalog;
      });
      await publish(pack);
      await victim.repels({}, restoring, [10, 'integrity']);
    }
    const { bavail, bsize } = statfsSync(victim.world.dir);
    const times = Math.ceil((bavail * bsize) / (2 * MIB)) + 1000;
    const zeros = compressed(frameOf(Buffer.alloc(2 * MIB)), 2 * MIB);
    const sparse = forgeSnapshot(attacker, zeros, (packRef) => {
      const extents = Array.from({ length: times }, () => ({ packRef, segment: 0, offset: 0, length: 2 * MIB }));
      const facts = { path: 'zéros.bin', mtime: 0, mode: 0o600, size: times * 2 * MIB };
      return catalogOf([{ type: 'file', ...facts, sha256: asHash(sha256(content)), extents }]);
    });
    await publish(sparse);
    await victim.repels({}, restoring, [15, 'disk-full']);
  });

  it('R-05 an index that lies about its chunks is never relied on: what this computer sends afterwards restores right', async () => {
    const content = noise('books', 300_000);
    const honest = cutChunks(content, attacker.mandate.gear, chunkParams(content.length));
    // the right lengths in another order, and one chunk that is said to be two
    const chunkLengths = [...honest].reverse();
    const lying = [{ contentClass: DOCUMENT, payload: content, chunkLengths }];
    await publish(withFile(lying, content));
    const { target } = await victim.agent.restore(...restoring.slice(1));
    expect(readFileSync(join(target, 'livre.cre')).equals(content)).toBe(true);
    writeFileSync(join(target, 'suite.cre'), Buffer.concat([content, noise('more', 20_000)]));
    await victim.agent.send('Dupont SA');
    const restored = victim.target();
    await victim.agent.restore('Dupont SA', '--snapshot', 'latest', '--to', restored);
    for (const name of ['livre.cre', 'suite.cre'])
      expect(readFileSync(join(restored, name)).equals(readFileSync(join(target, name)))).toBe(true);
  });
});
