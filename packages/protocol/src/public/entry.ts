import { sha256 } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { SIGNATURE_BYTES, verify } from '../crypto/sign.ts';
import { ProtocolError } from '../errors.ts';
import {
  asDeviceId,
  asHash,
  asMandateRef,
  asVaultId,
  type DeviceId,
  type Hash,
  idBytes,
  type MandateRef,
  NO_HASH,
  NO_MANDATE,
  type VaultId,
} from '../ids.ts';
import { isDateNumber } from './dates.ts';
import { ENTRY_KINDS, type EntryKind, kindOfCode } from './kinds.ts';
import { MAX_ENTRY_BYTES } from './limits.ts';
import { NO_PACKS } from './pack-list.ts';

/** What a journal entry says (SPEC 6). */
export interface EntryFields {
  readonly kind: EntryKind;
  readonly generation: number;
  readonly vaultId: VaultId;
  readonly seq: number;
  /** Chain hash of the entry before; NO_HASH for seq 1. */
  readonly previous: Hash;
  readonly deviceId: DeviceId;
  /** NO_MANDATE for kinds without a mandate. */
  readonly mandateRef: MandateRef;
  /** yyyymmdd, or 0. */
  readonly holdUntil: number;
  /** Hash of the attachment, or the snapshotId of forget, unforget and year-closed. */
  readonly subject: Hash;
  readonly packListHash: Hash;
  /** Sealed summary: SUMMARY_BYTES for snapshot-add, empty otherwise. */
  readonly summary: Uint8Array;
}

export interface Entry extends EntryFields {
  readonly signature: Uint8Array;
  readonly bytes: Uint8Array;
  /** H(bytes), what a receipt names; not the chain hash. */
  readonly hash: Hash;
}

/** Length of a sealed summary. */
export const SUMMARY_BYTES = 592;

/** Writes an entry and has it signed by the vault key: `sign(all bytes before the signature)`. Throws as `parseEntry`. */
export function encodeEntry(fields: EntryFields, sign: (message: Uint8Array) => Uint8Array): Uint8Array {
  const writer = new Writer(1024).magic('CSJE').u8(ENTRY_KINDS[fields.kind].code).zero(2).u32(fields.generation);
  writer.bytes(idBytes(fields.vaultId)).u64(fields.seq).bytes(idBytes(fields.previous));
  writer.bytes(idBytes(fields.deviceId)).bytes(idBytes(fields.mandateRef)).u32(fields.holdUntil);
  writer.bytes(idBytes(fields.subject)).bytes(idBytes(fields.packListHash)).lp16(fields.summary);
  const bytes = writer.fixed(sign(writer.finish()), SIGNATURE_BYTES).finish();
  parseEntry(bytes);
  return bytes;
}

/** Parses strictly and checks what the table of SPEC 6 fixes for the kind; throws `format`, `version` or `limit`. */
export function parseEntry(bytes: Uint8Array): Entry {
  if (bytes.length > MAX_ENTRY_BYTES) throw new ProtocolError('limit', `entry: ${bytes.length} bytes, over 4096`);
  const reader = new Reader(bytes, 'entry');
  reader.magic('CSJE');
  const code = reader.u8('kind');
  const kind = kindOfCode(code) ?? reader.fail(`kind ${code} is not known`);
  reader.zero(2, 'reserved bytes');
  const fields = {
    kind,
    generation: reader.u32('generation'),
    vaultId: asVaultId(reader.bytes(16, 'vaultId')),
    seq: reader.u64('seq'),
    previous: asHash(reader.bytes(32, 'previous')),
    deviceId: asDeviceId(reader.bytes(16, 'deviceId')),
    mandateRef: asMandateRef(reader.bytes(16, 'mandateRef')),
    holdUntil: reader.u32('holdUntil'),
    subject: asHash(reader.bytes(32, 'subject')),
    packListHash: asHash(reader.bytes(32, 'packListHash')),
    summary: reader.lp16('summary'),
  };
  const signature = reader.bytes(SIGNATURE_BYTES, 'signature');
  reader.end();
  checkPlace(reader, fields);
  checkKind(reader, fields);
  return { ...fields, signature, bytes, hash: asHash(sha256(bytes)) };
}

function checkPlace(reader: Reader, { kind, generation, seq, previous }: EntryFields): void {
  if (seq === 0) reader.fail('seq is 0');
  if ((seq === 1) !== (kind === 'vault-create')) reader.fail(`${kind} at seq ${seq}`);
  if (seq === 1 && previous !== NO_HASH) reader.fail('previous of the first entry is not zero');
  if (seq > 1 && previous === NO_HASH) reader.fail('previous is zero');
  if (seq === 1 && generation !== 0) reader.fail('vault-create of a generation other than 0');
}

function checkKind(reader: Reader, fields: EntryFields): void {
  const rules = ENTRY_KINDS[fields.kind];
  if (rules.mandate && fields.mandateRef === NO_MANDATE) reader.fail(`${fields.kind} without a mandateRef`);
  if (!rules.mandate && fields.mandateRef !== NO_MANDATE) reader.fail(`${fields.kind} with a mandateRef`);
  if (!rules.packs && fields.packListHash !== NO_PACKS) reader.fail(`${fields.kind} with packs`);
  if (fields.kind === 'year-closed') {
    if (!isDateNumber(fields.holdUntil) || fields.holdUntil % 10_000 !== 1231)
      reader.fail('holdUntil of year-closed is not a 31 December');
  } else if (fields.holdUntil !== 0) reader.fail(`${fields.kind} with a holdUntil`);
  const summary = fields.kind === 'snapshot-add' ? SUMMARY_BYTES : 0;
  if (fields.summary.length !== summary)
    reader.fail(`summary of ${fields.kind} has ${fields.summary.length} bytes, not ${summary}`);
}

/** Throws `signature` unless the vault key with this public key signed the entry. */
export function verifyEntry(entry: Entry, publicKey: Uint8Array): void {
  const signed = entry.bytes.subarray(0, entry.bytes.length - SIGNATURE_BYTES);
  if (!verify(publicKey, 'entry', signed, entry.signature))
    throw new ProtocolError('signature', `entry ${entry.seq}: signature is not by the vault key`);
}
