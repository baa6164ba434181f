import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { CONTENT_CLASS, encodeReplacement, type PackId, type PackRef, packIdOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { until } from '../support/process.ts';
import { type Answer, ProtocolClient, type SealedPack } from '../support/protocol-client.ts';
import { forgePack } from '../support/stolen-key.ts';
import { World } from '../support/world.ts';

jest.setTimeout(240_000);

let world: World;
/** A computer of the vault that turned bad: it has the keys, and keeps to the protocol as far as the server looks. */
let attacker: ProtocolClient;
let victim: Agent;
let targets = 0;

beforeAll(async () => {
  world = await World.create();
  const subscriber = await world.server.addSubscriber();
  attacker = await ProtocolClient.withVault(world.server.url, subscriber.enrolmentCode);
  const code = await world.server.newCode(subscriber.number);
  victim = await world.connected(code, { secret: 'un secret bien long' });
});
afterAll(() => world[Symbol.asyncDispose]());

function replace(packRef: PackRef, oldId: PackId, newId: PackId): Promise<Answer> {
  const attachment = encodeReplacement([{ packRef, oldId, newId }]);
  const fields = { mandateRef: attacker.mandate.ref };
  return attacker.append(attacker.request('pack-replaced', { attachment, packIds: [newId], fields }));
}

async function lose({ packId }: SealedPack): Promise<void> {
  rmSync(join(world.server.dataDir, 'blobs', 'v', attacker.keys.vaultId, 'p', packId));
  expect((await world.server.operate('scrub', '--json')).code).toBe(1);
}

function restoring(id: string): string[] {
  targets += 1;
  return ['restore', 'Dupont SA', '--snapshot', id, '--to', world.path(`to-${targets}`)];
}

const put = (bytes: Uint8Array) => attacker.put({ packId: packIdOf(bytes), bytes } as SealedPack);

describe('a device of the vault that says what replaces a lost pack', () => {
  it('R-06: the server takes no replacement of a pack that is whole', async () => {
    const { pack, id } = await attacker.send(randomBytes(5000));
    const forged = forgePack(attacker.mandate, 0, [
      { contentClass: CONTENT_CLASS.document, payload: randomBytes(5000) },
    ]);
    expect((await put(forged.bytes)).status).toBe(201);
    const answer = await replace(pack.packRef, pack.packId, forged.packId);
    expect([answer.status, answer.json['code']]).toEqual([409, 'conflict']);
    await victim.json(restoring(id));
  });

  it.each([
    ['other content under the same packRef and the true catalog', true],
    ['a pack of another packRef', false],
    ['bytes that are no pack', undefined],
  ] as const)('R-06: of a lost pack it takes one, but no reader believes %s (exit 10)', async (_, samePackRef) => {
    const { pack, id } = await attacker.send(randomBytes(5000));
    await lose(pack);
    const segments = [
      { contentClass: CONTENT_CLASS.document, payload: randomBytes(5000) },
      { contentClass: CONTENT_CLASS.catalog, payload: pack.catalog },
    ];
    const forged = forgePack(attacker.mandate, 0, segments, ...(samePackRef ? [pack.packRef] : []));
    const bytes = samePackRef === undefined ? new Uint8Array(randomBytes(forged.bytes.length)) : forged.bytes;
    expect((await put(bytes)).status).toBe(201);
    expect((await replace(pack.packRef, pack.packId, packIdOf(bytes))).status).toBe(201);
    const refused = await victim.run([...restoring(id), '--json']);
    expect(refused.code).toBe(10);
  });

  it('R-06: a server that is killed while it puts the same bytes in place ends whole, or still says that it lost them', async () => {
    const { pack, id } = await attacker.send(randomBytes(5000));
    for (const point of ['heal-deleted', 'heal-put']) {
      await lose(pack);
      await world.server.stop();
      await world.server.start({ env: { SAFE_CRASH_AT: point } });
      await expect(attacker.put(pack)).rejects.toThrow();
      await world.server.ended();
      await world.server.start();
      const account = await attacker.account<{ damagedPacks: number }>();
      expect(account.damagedPacks).toBeGreaterThan(0);
      await until(
        async () => ((await attacker.put(pack)).status < 300 ? true : undefined),
        () => 'the leave of the killed upload never ends',
      );
      await victim.json(restoring(id));
    }
  });
});
