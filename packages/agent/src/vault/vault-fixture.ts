import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  asMandateId,
  type DeviceId,
  type KdfParams,
  type MandateId,
  NO_HASH,
  normaliseSecret,
  type SnapshotId,
  type SnapshotRecord,
  sealRecord,
  sealSummary,
  snapshotIdOf,
  type VaultKeys,
} from '@cresus-safe/protocol';
import type { Warning } from './history-state.ts';
import type { MemoryServer } from './memory-remote.ts';
import type { Remote } from './remote.ts';
import { createVault } from './slots.ts';
import { unlock } from './unlock.ts';
import { openVault, type Vault, type VaultOptions } from './vault.ts';

/** Argon2id at the floor that readers accept: tests derive often. */
export const CHEAP_KDF: KdfParams = { m: 65_536, t: 3, p: 1 };
export const SECRET = normaliseSecret('un secret bien long');
export const MANDATE: MandateId = asMandateId('0f'.repeat(16));

/** One computer of a test: its own folder and device at a MemoryServer. */
export class Computer {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'safe-vault-'));
  readonly warnings: Warning[] = [];
  readonly deviceId: DeviceId;
  readonly remote: Remote;
  readonly server: MemoryServer;
  now: () => number = () => Date.now();
  /** Remembered, so that opening again costs no Argon2id. */
  root: Uint8Array | undefined;

  constructor(server: MemoryServer, name = 'poste') {
    this.server = server;
    this.deviceId = server.enrol(name);
    this.remote = server.remote(this.deviceId);
  }

  async create(): Promise<Vault> {
    const vault = await createVault({ ...this.#options(), secret: SECRET, kdf: CHEAP_KDF });
    this.root = vault.keys.root;
    return vault;
  }

  async unlock(): Promise<VaultKeys> {
    const opener = this.root === undefined ? { secret: SECRET } : { root: this.root };
    const { dir, remote, deviceId } = this;
    const { keys } = await unlock({ dir, remote, deviceId, opener, warn: this.#warn });
    this.root = keys.root;
    return keys;
  }

  async open(mode: VaultOptions['mode'] = 'write'): Promise<Vault> {
    return openVault({ ...this.#options(), keys: await this.unlock(), mode });
  }

  /** Opens and consents to the history that the server shows, as `anchor --without-anchor` does. */
  async join(): Promise<Vault> {
    const vault = await this.open();
    if (vault.anchorNeeded) vault.anchor({ consent: true });
    return vault;
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  get codes(): string[] {
    return this.warnings.map(({ code }) => code);
  }

  readonly #warn = (warning: Warning): void => {
    this.warnings.push(warning);
  };

  #options() {
    const { dir, remote, deviceId, server } = this;
    const pinned = { serverId: server.serverId, receiptKeys: server.receiptKeys.slice(0, 1) };
    return { dir, remote, deviceId, server: pinned, now: () => this.now(), warn: this.#warn };
  }
}

/** Appends a snapshot of nothing, for tests that are about the history only; `packs` are those it says it needs. */
export async function appendSnapshot(
  vault: Vault,
  comment = '',
  { mandateId = MANDATE, packs = [] }: { mandateId?: MandateId; packs?: SnapshotRecord['packs'] } = {},
): Promise<SnapshotId> {
  const mandate = vault.mandate(mandateId);
  const createdAt = vault.now();
  const attachment = sealRecord(mandate, vault.keys.generation, {
    vaultId: vault.keys.vaultId,
    mandateId,
    mandateName: 'Boulangerie',
    generation: vault.keys.generation,
    createdAt,
    finishedAt: createdAt,
    deviceId: vault.deviceId,
    deviceName: 'poste',
    agentVersion: '0',
    comment,
    files: 0,
    folders: 0,
    links: 0,
    bytes: 0,
    newBytes: 0,
    modules: [],
    problems: [],
    packs,
    catalog: { sha256: NO_HASH, length: 0, extents: [] },
  });
  const summary = sealSummary(vault.keys, {
    kind: 'snapshot-add',
    mandateRef: mandate.ref,
    mandateName: 'Boulangerie',
    comment,
    files: 0,
    bytes: 0,
    createdAt,
    mandateId,
    incomplete: false,
  });
  const packIds = packs.map(({ packId }) => packId);
  await vault.append('snapshot-add', { mandateRef: mandate.ref, packIds, attachment, summary });
  return snapshotIdOf(attachment);
}
