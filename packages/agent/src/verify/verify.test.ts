import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { type BackupResult, backup } from '../backup/backup.ts';
import { MemoryServer } from '../vault/memory-remote.ts';
import type { Vault } from '../vault/vault.ts';
import { Computer, MANDATE } from '../vault/vault-fixture.ts';
import { verifyExitCode, verifyVault } from './verify.ts';

jest.setTimeout(60_000);

let folder: string;
let server: MemoryServer;
let computer: Computer;
let vault: Vault;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'safe-verify-'));
  mkdirSync(join(folder, 'Boulangerie'));
  writeFileSync(join(folder, 'Boulangerie', 'compta.cre'), randomBytes(200_000));
  server = new MemoryServer();
  computer = new Computer(server);
  vault = await computer.create();
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  computer.remove();
});

function send(comment?: string): Promise<BackupResult> {
  const mandate = { name: 'Boulangerie', mandateId: MANDATE, path: join(folder, 'Boulangerie'), modules: [] };
  return backup({ vault, mandate, deviceName: 'poste', agentVersion: '0', comment });
}

test('an honest server has no problems, and a full check fetches every pack', async () => {
  await send();
  expect(await verifyVault({ vault })).toEqual({ checked: { packs: 1, bytes: 0, snapshots: 1 }, problems: [] });
  const full = await verifyVault({ vault, sample: 100 });
  expect(full).toEqual({
    checked: { packs: 1, bytes: [...server.packs.values()][0]?.length, snapshots: 1 },
    problems: [],
  });
  expect(verifyExitCode(full)).toBe(0);
});

test('MS-25: a pack that was acknowledged and thrown away is reported, and the next send stores it again', async () => {
  server.mutations.putPack = () => 'discard';
  // an honest append would refuse: this server lies about its packs there too
  server.packs.has = () => true;
  const { id } = await send();
  Reflect.deleteProperty(server.packs, 'has');
  delete server.mutations.putPack;
  const result = await verifyVault({ vault });
  expect(result.problems).toMatchObject([{ code: 'pack-missing', kind: 'omission', snapshots: [id] }]);
  expect(verifyExitCode(result)).toBe(13);
  await send('encore');
  expect(server.packs.size).toBe(1);
});

test('beside another run a pack that is gone is reported, and its index left to that run', async () => {
  await send();
  server.packs.clear();
  const looking = await computer.open('look');
  expect((await verifyVault({ vault: looking })).problems).toMatchObject([{ code: 'pack-missing' }]);
  expect(computer.codes).toContain('repair-later');
  expect(server.packs.size).toBe(0);
  expect(() => looking.append('plan')).toThrow(expect.objectContaining({ kind: 'unexpected' }));
});

test('damaged packs and records are told apart from missing ones', async () => {
  const { id } = await send();
  server.mutations.getPack = (_, honest) => honest.fill(7, 500, 501);
  server.mutations.record = (_, honest) => honest?.fill(7, 200, 201);
  const result = await verifyVault({ vault, sample: 10 });
  expect(result.problems.map(({ code }) => code)).toEqual(['record-damaged', 'pack-damaged']);
  expect(result.problems[1]?.snapshots).toEqual([id]);
  expect(verifyExitCode(result)).toBe(10);
});

test('a record that is gone is an omission, also of what can still be taken back, but not where it is forgotten at once', async () => {
  const { id } = await send();
  server.mutations.record = () => undefined;
  expect((await verifyVault({ vault })).problems).toMatchObject([{ code: 'record-missing', snapshots: [id] }]);
  const { mandateRef } = vault.snapshot(id);
  await vault.append('snapshot-forget', { mandateRef, subject: id as never });
  expect((await verifyVault({ vault })).problems).toMatchObject([{ code: 'record-missing', snapshots: [id] }]);
  expect((await verifyVault({ vault, forgetsAtOnce: true })).problems).toEqual([]);
});
