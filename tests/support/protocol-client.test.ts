import { openPack, openRecord, parseHistory, pathOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ProtocolClient } from './protocol-client.ts';
import { World } from './world.ts';

let world: World;

beforeAll(async () => {
  world = await World.create();
});
afterAll(() => world[Symbol.asyncDispose]());

it('makes a vault, sends a snapshot that opens again, and a second computer joins and sends too', async () => {
  const subscriber = await world.server.addSubscriber();
  const first = await ProtocolClient.withVault(world.server.url, subscriber.enrolmentCode);
  const content = Buffer.alloc(3_000_000, 'écritures de décembre ');
  const { pack, id } = await first.send(content);

  const record = openRecord(first.mandate, (await first.call('GET', pathOf('record', { snapshotId: id }))).bytes);
  const stored = await first.call('GET', pathOf('pack', { packId: pack.packId }));
  const opened = openPack(stored.bytes, pack.packId, first.mandate);
  const plain = [0, 1].map((segment) => Buffer.from(opened.segment(segment)));
  expect(Buffer.concat(plain).equals(content)).toBe(true);
  expect(record.catalog.extents.map(({ segment }) => segment)).toEqual([2]);
  expect(Buffer.from(opened.segment(2)).equals(pack.catalog)).toBe(true);

  const second = await ProtocolClient.enrol(world.server.url, await world.server.newCode(subscriber.number));
  expect((await second.join(first)).status).toBe(200);
  await second.send();
  const history = parseHistory((await second.call('GET', pathOf('journal'))).bytes);
  expect(history.map(({ entry }) => entry.kind)).toEqual(['vault-create', 'snapshot-add', 'snapshot-add']);
  expect(await first.used()).toEqual({ usedBytes: 2 * 262_144, usedObjects: 2 });
});
