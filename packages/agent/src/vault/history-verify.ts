import {
  equal,
  type Header,
  parseHistoryFrame,
  type ReceiptKey,
  type ServerId,
  type VaultId,
  verifyEntry,
  verifyReceipt,
} from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import { type HistoryState, type Step, stepOf } from './history-state.ts';
import type { RawFrame } from './remote.ts';

/** What a history is checked against. */
export interface Trust {
  readonly vaultId: VaultId;
  readonly serverId: ServerId;
  /** The pinned receipt keys, with those adopted since. */
  readonly receiptKeys: readonly ReceiptKey[];
  /** Without any server its keys are unknown: of receipts only the form, the entry and the server's id are checked. */
  readonly unchecked?: boolean;
}

/**
 * Checks that a frame extends a history (SPEC 6 to 8): place, chain, vault, generation, header succession and, unless a
 * later checkpoint vouches for it, the signatures of the vault key and of the server.
 * @throws AgentError `omission` for a gap, `wrong-server` for a receipt by a key that is not pinned, `integrity`
 */
export function verifyStep(state: HistoryState, raw: RawFrame, trust: Trust, signatures = true): Step {
  try {
    const step = stepOf(parseHistoryFrame(raw), raw);
    checkPlace(state, step, trust);
    checkHeader(state, step);
    if (signatures) checkSignatures(state, step, trust);
    return step;
  } catch (error) {
    throw toAgentError(error);
  }
}

function checkPlace(state: HistoryState, { entry }: Step, trust: Trust): void {
  const expected = state.seq + 1;
  if (entry.vaultId !== trust.vaultId) refuse(`entry ${entry.seq} is of another vault`);
  if (entry.seq > expected)
    throw new AgentError('omission', `entries ${expected} to ${entry.seq - 1} are not shown`, {
      key: 'error.omission-entries',
      params: { from: expected, to: entry.seq - 1 },
      details: { missingEntries: [expected, entry.seq - 1] },
    });
  if (entry.seq < expected) refuse(`entry ${entry.seq} stands where ${expected} belongs`);
  if (entry.previous !== state.tip) refuse(`entry ${entry.seq} does not follow the one before it`);
  if (expected > 1 && entry.generation !== state.generation)
    refuse(`entry ${entry.seq} is of generation ${entry.generation}`);
}

function checkHeader(state: HistoryState, { entry, attached }: Step): void {
  if (attached?.type !== 'header') return;
  const { header } = attached;
  const before = state.header;
  if (before === undefined) return;
  if (header.headerSeq !== before.headerSeq + 1) refuse(`entry ${entry.seq}: header ${header.headerSeq} out of order`);
  const sameKey = equal(header.publicKey, before.publicKey);
  if ((entry.kind === 'slot-change') !== sameKey) refuse(`entry ${entry.seq}: not the vault key that belongs there`);
  if (!knowsEarlier(header, state.publicKeys)) refuse(`entry ${entry.seq}: other earlier keys`);
}

/** Ties a chain to its own past: a header names the keys of all generations before it. */
function knowsEarlier(header: Header, publicKeys: readonly Uint8Array[]): boolean {
  return header.earlier.every(({ publicKey }, generation) => {
    const known = publicKeys[generation];
    return known !== undefined && equal(publicKey, known);
  });
}

function checkSignatures(state: HistoryState, step: Step, trust: Trust): void {
  const { entry, receipt, attached } = step;
  const first = attached?.type === 'header' && entry.kind === 'vault-create' ? attached.header.publicKey : undefined;
  const publicKey = first ?? state.publicKeys[entry.generation];
  if (publicKey === undefined) throw refuse(`entry ${entry.seq}: no key of its generation`);
  verifyEntry(entry, publicKey);
  if (trust.unchecked && receipt.serverId === trust.serverId) return;
  if (receipt.serverId !== trust.serverId || !trust.receiptKeys.some(({ keyId }) => keyId === receipt.keyId))
    throw new AgentError('wrong-server', `receipt ${receipt.seq} is by another server`, {
      params: { seq: receipt.seq },
    });
  verifyReceipt(receipt, trust.receiptKeys, trust.serverId);
}

function refuse(defect: string): never {
  throw new AgentError('integrity', `history: ${defect}`, { key: 'error.history', params: { reason: defect } });
}
