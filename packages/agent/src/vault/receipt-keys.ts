import { adoptReceiptKeys, type ReceiptKey, type ServerId } from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import type { Trust } from './history-verify.ts';
import { receiptKeyOf } from './http-answers.ts';
import type { Pin } from './pin.ts';
import type { Remote } from './remote.ts';

interface Server {
  readonly serverId: ServerId;
  readonly receiptKeys: readonly ReceiptKey[];
}

/** The keys pinned at enrolment, with those adopted since. @throws AgentError `wrong-server` when they do not fit together */
export function adoptedKeys(server: Server, pin: Pin | undefined): Omit<Trust, 'vaultId'> {
  if (pin === undefined || pin.receiptKeys.length === 0) return server;
  return {
    serverId: server.serverId,
    receiptKeys: adopt(server, server.receiptKeys, pin.receiptKeys.map(receiptKeyOf)),
  };
}

/**
 * Runs `act` with what is trusted; when it meets a receipt by an unknown key, asks the server for its list, adopts what
 * the pinned keys endorse (SPEC 7) and runs it once more.
 * @throws AgentError `wrong-server` when the list is not endorsed
 */
export async function withAdoption<T>(
  remote: Remote,
  server: Server,
  trust: Trust,
  act: (trust: Trust) => Promise<T>,
  adopted: (trust: Trust) => void,
): Promise<T> {
  try {
    return await act(trust);
  } catch (error) {
    if (!(error instanceof AgentError) || error.kind !== 'wrong-server') throw error;
    const account = await remote.account();
    if (account.serverId !== server.serverId || account.receiptKeys.length <= trust.receiptKeys.length) throw error;
    const next = { ...trust, receiptKeys: adopt(server, trust.receiptKeys, account.receiptKeys) };
    adopted(next);
    return act(next);
  }
}

function adopt(server: Server, pinned: readonly ReceiptKey[], offered: readonly ReceiptKey[]): ReceiptKey[] {
  try {
    return adoptReceiptKeys(server.serverId, pinned, offered);
  } catch (error) {
    throw new AgentError('wrong-server', toAgentError(error).message, { params: { seq: 0 }, cause: error });
  }
}
