import {
  type Entry,
  encodeReceipt,
  type Hash,
  type JournalRequest,
  type KeyId,
  type ServerId,
  sign,
} from '@cresus-safe/protocol';
import { type RawFrame, StaleHead, type Subscription } from './remote.ts';

/**
 * What every keeper of a journal inside this program does alike: the folder of the automatic points, and the server in
 * memory of the tests.
 */

/** Who signs receipts: `seed` is that of its Ed25519 key. */
export interface ReceiptSigner {
  readonly serverId: ServerId;
  readonly keyId: KeyId;
  readonly seed: Uint8Array;
}

/** A keeper that nobody subscribes to lets everything happen. */
export const LOCAL_SUBSCRIPTION: Subscription = {
  state: 'active',
  expiresOn: '2050-12-31',
  graceUntil: '2051-01-14',
  readOnlyUntil: '2052-01-14',
  maySend: true,
  mayRestore: true,
};

/** An entry must be the next one of the chain (SPEC 6). @throws StaleHead */
export function requireNext(entry: Entry, seq: number, tip: Hash): void {
  if (entry.seq !== seq + 1 || entry.previous !== tip) throw new StaleHead(seq);
}

/** The receipt for an entry and `bytes` of packs, at a time (ms since 1970). */
export function signReceipt(signer: ReceiptSigner, entry: Entry, bytes: number, time: number): Uint8Array {
  const { keyId, serverId, seed } = signer;
  const { vaultId, seq, hash: entryHash, packListHash } = entry;
  const fields = { keyId, serverId, vaultId, seq, entryHash, packListHash, bytes, time };
  return encodeReceipt(fields, (message) => sign(seed, 'receipt', message));
}

/** The step of the history that a request makes: records are fetched apart. */
export function frameOf({ entry, attached, attachment }: JournalRequest, receipt: Uint8Array): RawFrame {
  return { entry: entry.bytes, attachment: attached.type === 'record' ? new Uint8Array(0) : attachment, receipt };
}
