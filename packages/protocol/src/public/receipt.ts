import { sha256 } from '../bytes/bytes.ts';
import { fromHex } from '../bytes/hex.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { SIGNATURE_BYTES, verify } from '../crypto/sign.ts';
import { ProtocolError } from '../errors.ts';
import {
  asHash,
  asKeyId,
  asServerId,
  asVaultId,
  type Hash,
  idBytes,
  type KeyId,
  type ServerId,
  type VaultId,
} from '../ids.ts';
import type { Entry } from './entry.ts';
import type { ReceiptKey } from './receipt-keys.ts';

/** The server's word that it holds an entry and its packs (SPEC 7). */
export interface ReceiptFields {
  readonly keyId: KeyId;
  readonly serverId: ServerId;
  readonly vaultId: VaultId;
  readonly seq: number;
  readonly entryHash: Hash;
  readonly packListHash: Hash;
  /** Sum of the stored sizes of the listed packs. */
  readonly bytes: number;
  /** Time of the server's database, ms since 1970. */
  readonly time: number;
}

/** `encoded` are the exact bytes, since `bytes` is a field of the format. */
export interface Receipt extends ReceiptFields {
  readonly signature: Uint8Array;
  readonly encoded: Uint8Array;
}

export const RECEIPT_BYTES = 200;

/** Writes a receipt and has it signed as "receipt" by the server's key: `sign(all bytes before the signature)`. */
export function encodeReceipt(fields: ReceiptFields, sign: (message: Uint8Array) => Uint8Array): Uint8Array {
  const writer = new Writer(RECEIPT_BYTES).magic('CSRC').zero(3).bytes(idBytes(fields.keyId));
  writer.bytes(idBytes(fields.serverId)).bytes(idBytes(fields.vaultId)).u64(fields.seq);
  writer.bytes(idBytes(fields.entryHash)).bytes(idBytes(fields.packListHash)).u64(fields.bytes).u64(fields.time);
  const bytes = writer.fixed(sign(writer.finish()), SIGNATURE_BYTES).finish();
  parseReceipt(bytes);
  return bytes;
}

/** Parses strictly; throws `format` or `version`. The signature is checked by `verifyReceipt`. */
export function parseReceipt(bytes: Uint8Array): Receipt {
  const reader = new Reader(bytes, 'receipt');
  reader.magic('CSRC');
  reader.zero(3, 'reserved bytes');
  const receipt = {
    keyId: asKeyId(reader.bytes(8, 'keyId')),
    serverId: asServerId(reader.bytes(16, 'serverId')),
    vaultId: asVaultId(reader.bytes(16, 'vaultId')),
    seq: reader.u64('seq'),
    entryHash: asHash(reader.bytes(32, 'entryHash')),
    packListHash: asHash(reader.bytes(32, 'packListHash')),
    bytes: reader.u64('bytes'),
    time: reader.u64('time'),
    signature: reader.bytes(SIGNATURE_BYTES, 'signature'),
    encoded: bytes,
  };
  reader.end();
  if (receipt.seq === 0) reader.fail('seq is 0');
  return receipt;
}

/**
 * Throws `signature` unless one of the pinned keys signed the receipt.
 *
 * @param serverId when given, the receipt must name this server
 */
export function verifyReceipt(receipt: Receipt, keys: readonly ReceiptKey[], serverId?: ServerId): void {
  const refuse = (defect: string): never => {
    throw new ProtocolError('signature', `receipt ${receipt.seq}: ${defect}`);
  };
  if (serverId !== undefined && receipt.serverId !== serverId) refuse('of another server');
  const key = keys.find(({ keyId }) => keyId === receipt.keyId) ?? refuse('its key is not known');
  const signed = receipt.encoded.subarray(0, RECEIPT_BYTES - SIGNATURE_BYTES);
  if (!verify(fromHex(key.publicKey), 'receipt', signed, receipt.signature)) refuse('signature is not by its key');
}

/** Throws `format` unless the receipt answers exactly this entry. */
export function checkReceiptOf(receipt: Receipt, entry: Entry): void {
  const of = (same: boolean, field: string): void => {
    if (!same) throw new ProtocolError('format', `receipt ${receipt.seq}: ${field} is not the entry's`);
  };
  of(receipt.vaultId === entry.vaultId, 'vaultId');
  of(receipt.seq === entry.seq, 'seq');
  of(receipt.entryHash === entry.hash, 'entryHash');
  of(receipt.packListHash === entry.packListHash, 'packListHash');
}

/** Chain hash `H(entry ‖ receipt)`: what the next entry names as `previous`. */
export function chainHash(entry: Uint8Array, receipt: Uint8Array): Hash {
  return asHash(sha256(entry, receipt));
}
