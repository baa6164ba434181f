import { concat, sha256 } from '../bytes/bytes.ts';
import { fromHex, toHex } from '../bytes/hex.ts';
import { verify } from '../crypto/sign.ts';
import { ProtocolError } from '../errors.ts';
import { asKeyId, idBytes, type KeyId, type ServerId } from '../ids.ts';

/** One key of the server's list (SPEC 7), in hex so that it is the same in JSON, in files and in memory. */
export interface ReceiptKey {
  readonly keyId: KeyId;
  /** Raw Ed25519 public key, 64 hex digits. */
  readonly publicKey: string;
  /** keyId of the key before it in the list; null for the first. */
  readonly endorsedBy: KeyId | null;
  /** `Sign(key before, "receipt-key", serverId ‖ publicKey)`, 128 hex digits; null for the first. */
  readonly endorsement: string | null;
}

export function receiptKeyId(publicKey: Uint8Array): KeyId {
  return asKeyId(sha256(publicKey).subarray(0, 8));
}

/** What an endorsement signs. */
export function endorsementMessage(serverId: ServerId, publicKey: Uint8Array): Uint8Array {
  return concat(idBytes(serverId), publicKey);
}

/** The list entry of the first key of a server. */
export function firstReceiptKey(publicKey: Uint8Array): ReceiptKey {
  return { keyId: receiptKeyId(publicKey), publicKey: toHex(publicKey), endorsedBy: null, endorsement: null };
}

/** The list entry of a key that the one before it endorses; `sign(message)` signs as "receipt-key" with that earlier key. */
export function nextReceiptKey(
  serverId: ServerId,
  previous: ReceiptKey,
  publicKey: Uint8Array,
  sign: (message: Uint8Array) => Uint8Array,
): ReceiptKey {
  const endorsement = toHex(sign(endorsementMessage(serverId, publicKey)));
  return { keyId: receiptKeyId(publicKey), publicKey: toHex(publicKey), endorsedBy: previous.keyId, endorsement };
}

/**
 * Extends pinned keys by those that a server offers: the offered list must begin with the pinned one, and each further
 * key must be endorsed by the one before it. Nothing pinned yet: the offered list is taken, its chain checked.
 *
 * @throws ProtocolError `signature` naming the first key that does not fit
 */
export function adoptReceiptKeys(
  serverId: ServerId,
  pinned: readonly ReceiptKey[],
  offered: readonly ReceiptKey[],
): ReceiptKey[] {
  if (offered.length === 0) refuse('the list is empty');
  if (offered.length < pinned.length) refuse('a key that was known is no longer listed');
  pinned.forEach((known, index) => {
    if (offered[index]?.publicKey !== known.publicKey) refuse(`key ${index + 1} is not the one that was known`);
  });
  return offered.map((key, index) => {
    const publicKey = checkKey(key);
    const before = offered[index - 1];
    if (before) checkEndorsement(serverId, before, key, publicKey);
    else if (key.endorsedBy !== null || key.endorsement !== null) refuse('the first key has an endorsement');
    return { keyId: key.keyId, publicKey: key.publicKey, endorsedBy: key.endorsedBy, endorsement: key.endorsement };
  });
}

function checkKey(key: ReceiptKey): Uint8Array {
  const publicKey = fromHex(key.publicKey);
  if (publicKey.length !== 32) refuse(`key ${key.keyId} has not 32 bytes`);
  if (receiptKeyId(publicKey) !== key.keyId) refuse(`key ${key.keyId} has another keyId`);
  return publicKey;
}

function checkEndorsement(serverId: ServerId, before: ReceiptKey, key: ReceiptKey, publicKey: Uint8Array): void {
  if (key.endorsedBy !== before.keyId || key.endorsement === null)
    refuse(`key ${key.keyId} is not endorsed by the one before it`);
  const message = endorsementMessage(serverId, publicKey);
  if (!verify(fromHex(before.publicKey), 'receipt-key', message, fromHex(key.endorsement)))
    refuse(`endorsement of key ${key.keyId} is not by the one before it`);
}

function refuse(defect: string): never {
  throw new ProtocolError('signature', `receipt keys: ${defect}`);
}
