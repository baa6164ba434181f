import { renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { encodeEntry, parseEntry, type VaultKeys } from '@cresus-safe/protocol';
import { crashPoint } from '../local/crash.ts';
import { ensureFolder, onDisk, removeDurable, syncFolder } from '../local/files.ts';
import { rewriteLog } from '../vault/history-log.ts';
import { HistoryState, type Step } from '../vault/history-state.ts';
import { type Trust, verifyStep } from '../vault/history-verify.ts';
import { signReceipt } from '../vault/journal-rules.ts';
import type { RawFrame } from '../vault/remote.ts';
import type { PointsIdentity } from './root.ts';

/** A journal shorter than this opens fast enough whatever is in it. */
const LEAST_ENTRIES = 1000;

export interface RenewOptions {
  /** Folder of the store. */
  readonly store: string;
  /** Folder of the vault over it. */
  readonly vault: string;
  readonly state: HistoryState;
  readonly keys: VaultKeys;
  readonly identity: PointsIdentity;
  readonly now: number;
}

/**
 * Whether most of a journal speaks of points that are gone. With years of points a day it would else make every start
 * slower; nobody but this computer holds it, so nothing is owed to its past.
 */
export function isRenewalDue(state: HistoryState): boolean {
  return state.seq >= LEAST_ENTRIES && kept(state).length * 4 < state.seq;
}

/**
 * Writes the journal anew with what lives: the vault, its plan and the points that were not removed, under their own
 * ids. The vault's copy goes first and is taken from the store at the next opening, so that a kill anywhere leaves the
 * old journal or the new one. Whoever holds either open must open it again.
 */
export function renewJournal(options: RenewOptions): void {
  const { store, vault } = options;
  const fresh = freshState(options);
  const written = join(store, 'history.renewed');
  rewriteLog(
    written,
    fresh.steps.map(({ raw }) => raw),
  );
  crashPoint('renew-written');
  removeDurable(join(vault, 'history.log'));
  // they are named by their place in the old journal
  for (const name of ['requests', 'records']) rmSync(join(vault, name), { recursive: true, force: true });
  ensureFolder(vault);
  crashPoint('renew-cut');
  const path = join(store, 'history.log');
  onDisk(path, () => {
    renameSync(written, path);
    syncFolder(dirname(path));
  });
}

function kept({ steps, snapshots }: HistoryState): Step[] {
  const plan = steps.findLast(({ entry }) => entry.kind === 'plan');
  const live = [...snapshots.values()].filter(({ forgottenAt }) => forgottenAt === undefined);
  const adds = new Set(live.map(({ step }) => step));
  return steps.filter((step) => step.attached?.type === 'header' || step === plan || adds.has(step));
}

function freshState(options: RenewOptions): HistoryState {
  const { state, identity } = options;
  const trust: Trust = { ...identity, receiptKeys: [identity.receiptKey] };
  const fresh = new HistoryState();
  for (const step of kept(state)) {
    const raw = fresh.seq === 0 ? step.raw : renumbered(options, fresh, step);
    fresh.apply(verifyStep(fresh, raw, trust));
  }
  return fresh;
}

function renumbered({ keys, identity, now }: RenewOptions, fresh: HistoryState, step: Step): RawFrame {
  const { entry, receipt, raw } = step;
  const fields = { ...entry, seq: fresh.seq + 1, previous: fresh.tip };
  const bytes = encodeEntry(fields, (message) => keys.sign('entry', message, entry.generation));
  const { serverId, receiptKey, seed } = identity;
  const parsed = parseEntry(bytes);
  const signer = { serverId, keyId: receiptKey.keyId, seed };
  return { entry: bytes, attachment: raw.attachment, receipt: signReceipt(signer, parsed, receipt.bytes, now) };
}
