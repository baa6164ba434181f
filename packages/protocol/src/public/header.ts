import { equal, sha256 } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { label } from '../crypto/labels.ts';
import { SIGNATURE_BYTES, verify } from '../crypto/sign.ts';
import { ProtocolError } from '../errors.ts';
import { asHash, asShareId, asVaultId, type Hash, idBytes, type ShareId, type VaultId } from '../ids.ts';
import { MAX_EARLIER_ROOTS, MAX_HEADER_BYTES, SHARE_BYTES } from './limits.ts';
import { readSlot, type Slot, writeSlot } from './slot.ts';

/** The root of an earlier generation, sealed under the current one. */
export interface EarlierRoot {
  readonly generation: number;
  readonly publicKey: Uint8Array;
  readonly sealed: Uint8Array;
}

/** What a header says (SPEC 5). */
export interface HeaderFields {
  readonly minReader: number;
  readonly minWriter: number;
  readonly vaultId: VaultId;
  readonly generation: number;
  readonly headerSeq: number;
  readonly publicKey: Uint8Array;
  readonly shareId: ShareId;
  readonly secretSlot: Slot;
  readonly kitSlot: Slot | undefined;
  readonly earlier: readonly EarlierRoot[];
}

/** A parsed header; its signature is checked by `verifyHeader`, not by parsing. */
export interface Header extends HeaderFields {
  readonly signature: Uint8Array;
  /** The exact bytes it was parsed from. */
  readonly bytes: Uint8Array;
  readonly hash: Hash;
}

const VERSION = 1;
const NUL = new Uint8Array(1);

/** `shareId` of SPEC 4.2: tells whether a share belongs to a header without any guessing of the secret. */
export function shareIdOf(vaultId: VaultId, share: Uint8Array): ShareId {
  if (share.length !== SHARE_BYTES) throw new ProtocolError('format', `share has ${share.length} bytes, not 32`);
  return asShareId(sha256(label('share-id'), NUL, idBytes(vaultId), share).subarray(0, 16));
}

/** Writes a header and has it signed by the vault key of its generation: `sign(all bytes before the signature)`. */
export function encodeHeader(fields: HeaderFields, sign: (message: Uint8Array) => Uint8Array): Uint8Array {
  const writer = new Writer().magic('CSVH').u8(fields.minReader).u8(fields.minWriter).zero(1);
  writer.bytes(idBytes(fields.vaultId)).u32(fields.generation).u32(fields.headerSeq).fixed(fields.publicKey, 32);
  writer
    .bytes(idBytes(fields.shareId))
    .u8(fields.kitSlot ? 2 : 1)
    .zero(1)
    .u16(fields.earlier.length);
  writeSlot(writer, fields.secretSlot);
  if (fields.kitSlot) writeSlot(writer, fields.kitSlot);
  for (const root of fields.earlier) writer.u32(root.generation).fixed(root.publicKey, 32).fixed(root.sealed, 48);
  const bytes = writer.fixed(sign(writer.finish()), SIGNATURE_BYTES).finish();
  parseHeader(bytes);
  return bytes;
}

/** Parses strictly; throws `format`, `version` (a newer writer demands a newer reader) or `limit`. */
export function parseHeader(bytes: Uint8Array): Header {
  if (bytes.length > MAX_HEADER_BYTES) throw new ProtocolError('limit', `header: ${bytes.length} bytes, over 4096`);
  const reader = new Reader(bytes, 'header');
  reader.magic('CSVH');
  const versions = readVersions(reader);
  const vaultId = asVaultId(reader.bytes(16, 'vaultId'));
  const generation = reader.u32('generation');
  const headerSeq = reader.u32('headerSeq');
  if (headerSeq === 0) reader.fail('headerSeq is 0');
  const publicKey = reader.bytes(32, 'publicKey');
  const shareId = asShareId(reader.bytes(16, 'shareId'));
  const slotCount = reader.u8('slotCount');
  if (slotCount !== 1 && slotCount !== 2) reader.fail(`${slotCount} slots: one secret slot and at most one kit slot`);
  reader.zero(1, 'reserved byte after slotCount');
  const earlierCount = reader.u16('earlierCount');
  if (earlierCount > MAX_EARLIER_ROOTS) reader.fail(`${earlierCount} earlier roots, over 16`);
  if (earlierCount !== generation) reader.fail(`${earlierCount} earlier roots in generation ${generation}`);
  const secretSlot = readSlot(reader, 'secret');
  const kitSlot = slotCount === 2 ? readSlot(reader, 'kit') : undefined;
  checkSlots(reader, generation, secretSlot, kitSlot);
  const earlier = Array.from({ length: earlierCount }, (_, index) => readEarlier(reader, index));
  const signature = reader.bytes(SIGNATURE_BYTES, 'signature');
  reader.end();
  const fields = { ...versions, vaultId, generation, headerSeq, publicKey, shareId, secretSlot, kitSlot, earlier };
  return { ...fields, signature, bytes, hash: asHash(sha256(bytes)) };
}

function readVersions(reader: Reader): { minReader: number; minWriter: number } {
  const minReader = reader.u8('minReader');
  const minWriter = reader.u8('minWriter');
  if (minReader === 0 || minWriter === 0) reader.fail('minReader or minWriter is 0');
  if (minReader > VERSION) throw new ProtocolError('version', `header: needs a reader of version ${minReader}`);
  reader.zero(1, 'reserved byte after minWriter');
  return { minReader, minWriter };
}

function checkSlots(reader: Reader, generation: number, secret: Slot, kit: Slot | undefined): void {
  for (const slot of kit ? [secret, kit] : [secret])
    if (slot.generation !== generation) reader.fail(`generation of the ${slot.type} slot is not the header's`);
  if (kit && equal(secret.slotId, kit.slotId)) reader.fail('both slots have the same slotId');
}

function readEarlier(reader: Reader, index: number): EarlierRoot {
  const generation = reader.u32('generation of an earlier root');
  if (generation !== index) reader.fail(`earlier root ${index} has generation ${generation}`);
  return { generation, publicKey: reader.bytes(32, 'earlier publicKey'), sealed: reader.bytes(48, 'earlier root') };
}

/** Throws `signature` unless the header is signed by the public key it names (which proves nothing about whose it is). */
export function verifyHeader(header: Header): void {
  const signed = header.bytes.subarray(0, header.bytes.length - SIGNATURE_BYTES);
  if (!verify(header.publicKey, 'header', signed, header.signature))
    throw new ProtocolError('signature', 'header: signature is not by the public key it names');
}

/** Throws `version` when a newer writer forbids this version to write to the vault. */
export function checkWritable(header: Header): void {
  if (header.minWriter > VERSION)
    throw new ProtocolError('version', `header: needs a writer of version ${header.minWriter}`);
}
