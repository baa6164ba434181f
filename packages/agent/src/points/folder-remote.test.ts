import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  asDeviceId,
  asHash,
  asPackRef,
  encodeEntry,
  encodeHeal,
  encodeRequest,
  NO_PACKS,
  PACK_GRANULE_BYTES,
  type PackId,
  packIdOf,
  parseRequest,
  type SnapshotId,
  VaultKeys,
} from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { MemoryServer } from '../vault/memory-remote.ts';
import type { Remote } from '../vault/remote.ts';
import { createVault } from '../vault/slots.ts';
import type { Vault } from '../vault/vault.ts';
import { appendSnapshot, CHEAP_KDF, MANDATE, SECRET } from '../vault/vault-fixture.ts';
import { FolderRemote } from './folder-remote.ts';
import { identityOf } from './root.ts';

const NOTHING = new Uint8Array(0);
const NOW = Date.parse('2026-11-24T09:00Z');

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safe-folder-remote-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function packOf(granules = 1): { id: PackId; body: Uint8Array } {
  const body = new Uint8Array(randomBytes(granules * PACK_GRANULE_BYTES));
  return { id: packIdOf(body), body };
}

const nameOf = ({ id }: { id: PackId }) => [{ packId: id, packRef: asPackRef(id.slice(0, 32)) }];

/** The same remote in memory and on disk: what one promises the other does. */
interface Kept {
  readonly remote: Remote;
  readonly vault: Vault;
  /** The same journal and packs, as another process would open them. */
  again(): Remote;
}

async function inMemory(): Promise<Kept> {
  const server = new MemoryServer(() => NOW);
  const deviceId = server.enrol();
  const remote = server.remote(deviceId);
  const { serverId, receiptKeys } = server;
  const around = { dir: join(folder, 'vault'), remote, deviceId, now: () => NOW, warn: () => undefined };
  const vault = await createVault({ ...around, server: { serverId, receiptKeys }, secret: SECRET, kdf: CHEAP_KDF });
  return { remote, vault, again: () => server.remote(deviceId) };
}

async function onDisk(): Promise<Kept> {
  const keys = VaultKeys.create();
  const identity = identityOf({ vaultId: keys.vaultId, root: keys.root });
  const { serverId, deviceId, receiptKey } = identity;
  const common = { now: () => NOW, warn: () => undefined };
  const open = (): FolderRemote =>
    new FolderRemote({ dir: join(folder, 'store'), identity, deviceName: 'poste', limit: () => 1e9, ...common });
  const remote = open();
  const around = { dir: join(folder, 'vault'), remote, deviceId, server: { serverId, receiptKeys: [receiptKey] } };
  const vault = await createVault({ ...around, ...common, secret: SECRET, keys, kdf: CHEAP_KDF });
  return { remote, vault, again: open };
}

const requestAt = ({ vault }: Kept, seq: number): Uint8Array =>
  Uint8Array.from(readFileSync(join(vault.dir, 'requests', String(seq))));

describe.each([
  ['in memory', inMemory],
  ['on disk', onDisk],
])('a remote %s', (_, create) => {
  test('stores packs under their own name only, once, and gives them back whole', async () => {
    const kept = await create();
    const pack = packOf(2);
    await expect(kept.remote.putPack(packOf().id, pack.body)).rejects.toThrow();
    expect(await kept.remote.putPack(pack.id, pack.body)).toBe('stored');
    expect(await kept.remote.putPack(pack.id, pack.body)).toBe('existed');
    const remote = kept.again();
    expect(await remote.hasPack(pack.id)).toBe(true);
    expect(Buffer.from(await remote.getPack(pack.id, (length) => new Uint8Array(length))).equals(pack.body)).toBe(true);
    const absent = packOf().id;
    expect(await remote.keepPacks([pack.id, absent])).toEqual([absent]);
    await expect(remote.getPack(absent, (length) => new Uint8Array(length))).rejects.toMatchObject({
      kind: 'not-found',
    });
  });

  test('appends what extends the head and names only packs that are there; the same again gets the same receipt', async () => {
    const kept = await create();
    const pack = packOf();
    await expect(appendSnapshot(kept.vault, '', { packs: nameOf(pack) })).rejects.toMatchObject({
      name: 'MissingPacks',
      ids: [pack.id],
    });
    await kept.remote.putPack(pack.id, pack.body);
    const id = await appendSnapshot(kept.vault, 'un', { packs: nameOf(pack) });
    const request = requestAt(kept, 2);
    const { receipt } = kept.vault.history.head?.raw ?? {};
    expect(await kept.again().append(request)).toEqual({ seq: 2, receipt });
    expect(parseRequest(request).attachment).toEqual(await kept.again().record(id));
    await expect(kept.again().record('0'.repeat(64) as SnapshotId)).rejects.toMatchObject({ kind: 'not-found' });
    await appendSnapshot(kept.vault, 'deux');
    await appendSnapshot(kept.vault, 'trois');
    const remote = kept.again();
    expect((await Array.fromAsync(remote.journal(1))).map(({ entry }) => entry)).toEqual(
      kept.vault.history.state.steps.slice(1).map(({ raw }) => raw.entry),
    );
    expect(await remote.vault()).toMatchObject({ vaultId: kept.vault.keys.vaultId, head: 4 });
  });

  test('refuses an entry signed by another key, and one that is not the next', async () => {
    const kept = await create();
    const { vault } = kept;
    const { keys, history } = vault;
    const subject = asHash(await appendSnapshot(vault, 'un'));
    const stranger = VaultKeys.create();
    const forget = (signer: VaultKeys, seq: number): Uint8Array => {
      const { ref: mandateRef } = vault.mandate(MANDATE);
      const around = { vaultId: keys.vaultId, generation: 0, deviceId: vault.deviceId, mandateRef, holdUntil: 0 };
      const place = { seq, previous: history.state.tip, subject, packListHash: NO_PACKS, summary: NOTHING };
      const sign = (message: Uint8Array): Uint8Array => signer.sign('entry', message);
      const entry = encodeEntry({ kind: 'snapshot-forget', ...around, ...place }, sign);
      return encodeRequest({ entry, packIds: [], attachment: NOTHING, share: NOTHING });
    };
    await expect(kept.remote.append(forget(stranger, 3))).rejects.toThrow(/signature/);
    await expect(kept.remote.append(forget(keys, 4))).rejects.toMatchObject({ name: 'StaleHead', head: 2 });
    await expect(kept.remote.append(forget(keys, 2))).rejects.toMatchObject({ name: 'StaleHead', head: 2 });
    expect(await kept.again().vault()).toMatchObject({ head: 2 });
    expect(await kept.remote.append(forget(keys, 3))).toMatchObject({ seq: 3 });
    expect(await kept.again().vault()).toMatchObject({ head: 3 });
  });

  test('takes back what it lost, whole and in order, and nothing twice', async () => {
    const kept = await create();
    await appendSnapshot(kept.vault, 'un');
    const [first, second] = [1, 2].map((seq) => ({
      request: requestAt(kept, seq),
      receipt: kept.vault.history.state.steps[seq - 1]?.raw.receipt ?? new Uint8Array(0),
    }));
    if (first === undefined || second === undefined) throw new Error('two steps');
    await kept.remote.heal(encodeHeal([first, second]));
    expect(await kept.again().vault()).toMatchObject({ head: 2 });
    const wrong = { ...second, receipt: second.receipt.with(second.receipt.length - 1, 0xff) };
    await expect(kept.remote.heal(encodeHeal([wrong]))).rejects.toThrow();
  });
});

test('the one device of a store', async () => {
  const { remote } = await onDisk();
  const [device, ...others] = await remote.devices();
  expect([device?.current, others.length]).toEqual([true, 0]);
  expect(device?.deviceId).not.toBe(asDeviceId('0'.repeat(32)));
});
