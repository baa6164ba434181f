import { parseHeadCode, parseReceipt, verifyReceipt } from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import type { HistoryState, Step, Warning } from './history-state.ts';
import type { Trust } from './history-verify.ts';

const DAY_MS = 86_400_000;
/** As long as mandates may stay silent before the service itself asks. */
const FREEZE_DAYS = 14;

/**
 * Compares the history with what another computer, the kit or an exported receipt knows of it.
 * @returns the seq that was compared
 * @throws AgentError `rollback` when the other knows a later entry, `fork` when it knows another one, `usage` when it is
 *   no head code, `wrong-server` for a receipt that the pinned keys did not sign
 */
export function checkAnchor(
  state: HistoryState,
  trust: Trust,
  proof: { code: string } | { receipt: Uint8Array },
): number {
  const { seq, fits } = 'code' in proof ? ofCode(proof.code) : ofReceipt(proof.receipt, trust);
  const step = state.steps[seq - 1];
  const params = { seq, held: state.seq };
  if (step === undefined)
    throw new AgentError('rollback', `the other computer knows entry ${seq}, the server shows ${state.seq}`, {
      key: 'error.anchor-ahead',
      params,
      details: params,
    });
  if (!fits(step))
    throw new AgentError('fork', `the other computer knows another entry ${seq}`, {
      key: 'error.anchor-differs',
      params,
      details: params,
    });
  return seq;
}

function ofCode(text: string): { seq: number; fits: (step: Step) => boolean } {
  try {
    const { seq, prefix } = parseHeadCode(text);
    return { seq, fits: ({ chain }) => chain.startsWith(prefix) };
  } catch (cause) {
    throw new AgentError('usage', 'not a head code', { key: 'error.bad-head-code', cause });
  }
}

function ofReceipt(bytes: Uint8Array, trust: Trust): { seq: number; fits: (step: Step) => boolean } {
  try {
    const receipt = parseReceipt(bytes);
    verifyReceipt(receipt, trust.receiptKeys, trust.serverId);
    if (receipt.vaultId !== trust.vaultId) throw new AgentError('wrong-server', 'the receipt is of another vault');
    return { seq: receipt.seq, fits: ({ entry }) => entry.hash === receipt.entryHash };
  } catch (error) {
    const { message } = toAgentError(error);
    throw new AgentError('wrong-server', message, {
      key: 'error.bad-receipt',
      params: { reason: message },
      cause: error,
    });
  }
}

/**
 * Warns when the newest entry that the server shows is old and by another device: a server could show the same old head
 * for ever (MS-24). Entries of this device age as long as it sends nothing, which says nothing.
 */
export function freezeWarning(
  head: Step | undefined,
  context: { readonly deviceId: string; readonly now: () => number; readonly warn: (warning: Warning) => void },
): void {
  if (head === undefined || head.entry.deviceId === context.deviceId) return;
  const days = Math.floor((context.now() - head.receipt.time) / DAY_MS);
  if (days >= FREEZE_DAYS) context.warn({ code: 'head-old', params: { days, seq: head.entry.seq } });
}
