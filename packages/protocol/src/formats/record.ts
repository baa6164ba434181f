import { concat, equal, sha256 } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { open, seal, TAG_BYTES } from '../crypto/aead.ts';
import { hkdf } from '../crypto/derive.ts';
import { label } from '../crypto/labels.ts';
import { type Random, systemRandom } from '../crypto/random.ts';
import { ProtocolError } from '../errors.ts';
import { asMandateRef, asSnapshotId, idBytes, type SnapshotId } from '../ids.ts';
import type { MandateKeys } from '../keys/vault-keys.ts';
import { MAX_ATTACHMENT_BYTES } from '../public/limits.ts';
import { encodeRecord, parseRecord, type SnapshotRecord } from './record-plain.ts';

const HEADER_BYTES = 108;
const SALTED_BYTES = 44;

/** Key and commitment, as for packs but under the record key and its own label (SPEC 12). */
function recordKeys(recordKey: Uint8Array, salt: Uint8Array, salted: Uint8Array) {
  const okm = hkdf(recordKey, salt, concat(label('record'), salted), 64);
  return { key: okm.subarray(0, 32), commitment: okm.subarray(32) };
}

/**
 * Seals a snapshot record under a fresh salt.
 *
 * @param generation that of the record key; must be the record's
 * @throws ProtocolError `format` or `limit` when the record is not one that `openRecord` would accept
 */
export function sealRecord(
  keys: MandateKeys,
  generation: number,
  record: SnapshotRecord,
  random: Random = systemRandom,
): Uint8Array {
  checkContext(keys, generation, record, 'format');
  const salted = new Writer(SALTED_BYTES)
    .magic('CSRD')
    .zero(3)
    .u32(generation)
    .bytes(idBytes(keys.ref))
    .zero(16)
    .finish();
  const salt = random(32);
  const { key, commitment } = recordKeys(keys.recordKey(generation), salt, salted);
  const sealed = concat(salted, salt, commitment, seal(key, 0, encodeRecord(record)));
  if (sealed.length > MAX_ATTACHMENT_BYTES) throw new ProtocolError('limit', 'record: over 4 MiB');
  return sealed;
}

/**
 * Opens a sealed record; whoever calls has compared `snapshotIdOf` with the snapshot's id.
 *
 * @throws ProtocolError `integrity` when it is damaged or of another mandate, `format`, `version` or `limit`
 */
export function openRecord(keys: MandateKeys, sealed: Uint8Array): SnapshotRecord {
  if (sealed.length > MAX_ATTACHMENT_BYTES) throw new ProtocolError('limit', 'record: over 4 MiB');
  const reader = new Reader(sealed, 'record');
  reader.magic('CSRD');
  reader.zero(3, 'reserved bytes');
  const generation = reader.u32('generation');
  if (asMandateRef(reader.bytes(16, 'mandateRef')) !== keys.ref)
    throw new ProtocolError('integrity', 'record: of another mandate');
  reader.zero(16, 'the place of the packRef');
  const salt = reader.bytes(32, 'salt');
  const committed = reader.bytes(32, 'commitment');
  const { key, commitment } = recordKeys(keys.recordKey(generation), salt, sealed.subarray(0, SALTED_BYTES));
  if (!equal(commitment, committed)) throw new ProtocolError('integrity', 'record: the commitment differs');
  if (reader.remaining < TAG_BYTES) reader.fail('ends within the sealed part');
  const record = parseRecord(open(key, 0, sealed.subarray(HEADER_BYTES), 'record'));
  checkContext(keys, generation, record, 'integrity');
  return record;
}

function checkContext(
  keys: MandateKeys,
  generation: number,
  record: SnapshotRecord,
  kind: 'format' | 'integrity',
): void {
  const same = (fits: boolean, field: string): void => {
    if (!fits) throw new ProtocolError(kind, `record: ${field} is not that of its keys`);
  };
  same(record.vaultId === keys.vaultId, 'vaultId');
  same(record.mandateId === keys.mandateId, 'mandateId');
  same(record.generation === generation, 'generation');
}

/** `H(sealed record)`. */
export function snapshotIdOf(sealed: Uint8Array): SnapshotId {
  return asSnapshotId(sha256(sealed));
}
