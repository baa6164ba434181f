import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type DeviceId, encodePlan, normaliseSecret, type SnapshotId, VaultKeys } from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { ensureFolder, onDisk } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { loadLog } from '../vault/history-log.ts';
import type { Warning } from '../vault/history-state.ts';
import { createVault } from '../vault/slots.ts';
import { unlock } from '../vault/unlock.ts';
import { openVault, type SnapshotInfo, type Vault } from '../vault/vault.ts';
import { FolderRemote } from './folder-remote.ts';
import { type PointReason, splitReason } from './reason.ts';
import { isRenewalDue, renewJournal } from './renew.ts';
import { hasSealedRoot, identityOf, keepRoot, type PointsIdentity, readRoot } from './root.ts';
import { loadSettings } from './settings.ts';

export interface PointsOptions {
  readonly home: Home;
  /** ms since 1970 */
  readonly now: () => number;
  readonly deviceName: string;
  readonly agentVersion: string;
  readonly warn: (warning: Warning) => void;
}

/** A point as lists show it; times are ms since 1970. */
export interface PointInfo {
  readonly id: SnapshotId;
  readonly mandateId: string;
  readonly mandateName: string;
  /** Order in which points were made, whatever the clock said. */
  readonly seq: number;
  readonly createdAt: number;
  readonly files: number;
  readonly bytes: number;
  readonly reason: PointReason;
  readonly comment: string;
  /** Some files could not be read when it was made. */
  readonly incomplete: boolean;
}

/** The secret slot of the points' header opens for nobody: its secret is random and kept nowhere, so its cost is nothing. */
const SLOT_KDF = { m: 65_536, t: 3, p: 1 };
/** The plan of the vault format lets nothing go: which points go is decided here (plan.ts), each with a forget entry. */
const KEEP_ALL = { allDays: 0xffff_ffff, weeklyDays: 0, monthlyDays: 0 };

/**
 * Opens the store of the automatic points and makes it at the first use. The caller holds the home's lock until `close`.
 * Needs no connection, no subscription and no secret key.
 * @throws AgentError `integrity` when points are there and their root is not; the disk kinds
 */
export async function openPoints(options: PointsOptions): Promise<Points> {
  const { home, now, warn } = options;
  ensureFolder(home.points);
  const kept = readRoot(home);
  const held = kept && openStore(options, identityOf(kept));
  if (kept === undefined || held === undefined || held.state.seq === 0) return create(options);
  const identity = identityOf(kept);
  const common = { dir: vaultDir(home), deviceId: identity.deviceId, warn };
  const { keys } = await unlock({ ...common, remote: held, opener: { root: kept.root } }).catch((error: unknown) => {
    // no secret was typed: what does not fit is the file
    throw toAgentError(error).kind === 'wrong-secret' ? withoutRoot(home) : error;
  });
  const remote = renewed(options, held, identity, keys);
  const server = { serverId: identity.serverId, receiptKeys: [identity.receiptKey] };
  const vault = await openVault({ ...common, remote, keys, server, now, mode: 'read' });
  // nobody but this computer ever wrote here
  if (vault.anchorNeeded) vault.anchor({ consent: true });
  return ready(options, vault, remote);
}

function renewed(options: PointsOptions, held: FolderRemote, identity: PointsIdentity, keys: VaultKeys): FolderRemote {
  const { state } = held;
  if (!isRenewalDue(state)) return held;
  const { home, now } = options;
  renewJournal({ store: storeDir(home), vault: vaultDir(home), state, keys, identity, now: now() });
  return openStore(options, identity);
}

function storeDir(home: Home): string {
  return join(home.points, 'store');
}

function vaultDir(home: Home): string {
  return join(home.points, 'vault');
}

/** The folder as a remote, its journal completed from the vault's own copy where it was damaged. */
function openStore(options: PointsOptions, identity: PointsIdentity): FolderRemote {
  const { home, now, warn, deviceName } = options;
  const { maxBytes } = loadSettings(home);
  const dir = storeDir(home);
  const store = new FolderRemote({ dir, identity, deviceName, limit: () => maxBytes, now, warn });
  ensureFolder(vaultDir(home));
  const copy = join(vaultDir(home), 'history.log');
  // both logs hold the same bytes unless one of them was damaged
  if (sizeOf(copy) > sizeOf(join(dir, 'history.log'))) store.takeBack(loadLog(copy).frames);
  return store;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

async function create(options: PointsOptions): Promise<Points> {
  const { home, now, warn } = options;
  refuseToReplace(options);
  for (const name of ['store', 'vault']) rmSync(join(home.points, name), { recursive: true, force: true });
  const keys = VaultKeys.create();
  const kept = { vaultId: keys.vaultId, root: keys.root };
  keepRoot(home, kept);
  crashPoint('points-root');
  const identity = identityOf(kept);
  const store = openStore(options, identity);
  const secret = normaliseSecret(Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex'));
  const server = { serverId: identity.serverId, receiptKeys: [identity.receiptKey] };
  const from = { dir: vaultDir(home), remote: store, deviceId: identity.deviceId, server, now, warn };
  const vault = await createVault({ ...from, secret, keys, kdf: SLOT_KDF });
  return ready(options, vault, store);
}

/** A store that holds packs is never begun anew over them: without their root they wait, with a lost journal they are set aside. */
function refuseToReplace({ home, now, warn }: PointsOptions): void {
  const packs = join(storeDir(home), 'packs');
  if (!existsSync(packs) || readdirSync(packs).length === 0) return;
  if (readRoot(home) === undefined) throw withoutRoot(home);
  const aside = `${home.points}.damaged-${now()}`;
  onDisk(home.points, () => renameSync(home.points, aside));
  ensureFolder(home.points);
  warn({ code: 'points-set-aside', params: { path: aside } });
}

function withoutRoot(home: Home): AgentError {
  return new AgentError('integrity', 'the root of the points is gone', {
    key: 'error.points-root',
    hint: hasSealedRoot(home) ? 'hint.points-root-sealed' : 'hint.points-root',
    params: { path: home.points },
  });
}

async function ready(options: PointsOptions, vault: Vault, store: FolderRemote): Promise<Points> {
  const writable = vault.broken === undefined;
  // after a kill between the first two entries, too
  if (writable && vault.history.state.plan.allDays !== KEEP_ALL.allDays)
    await vault.append('plan', { attachment: encodePlan(KEEP_ALL) });
  return new Points(options, vault, store);
}

/** The automatic points of this computer: an ordinary vault over a folder. */
export class Points {
  readonly vault: Vault;
  readonly store: FolderRemote;
  readonly options: PointsOptions;

  constructor(options: PointsOptions, vault: Vault, store: FolderRemote) {
    this.options = options;
    this.vault = vault;
    this.store = store;
  }

  get deviceId(): DeviceId {
    return this.vault.deviceId;
  }

  /** The points of one mandate, or of all, newest first. */
  list(mandateId?: string): PointInfo[] {
    const all = this.vault.snapshots().map(pointOf);
    return all.filter((point) => mandateId === undefined || point.mandateId === mandateId).toReversed();
  }

  /** Ends the use of the store; the caller then releases the home's lock. */
  close(): void {
    this.vault.keys.wipe();
  }
}

/** What a snapshot of the points' vault is as a point. */
export function pointOf(snapshot: SnapshotInfo): PointInfo {
  const { id, mandateId, mandateName, seq, createdAt, files, bytes, incomplete, comment: text } = snapshot;
  return { id, mandateId, mandateName, seq, createdAt, files, bytes, incomplete, ...splitReason(text) };
}
