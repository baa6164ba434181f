import { EntitySchema, type EntitySchemaColumnOptions } from 'typeorm';

/** A 53-bit number: PostgreSQL hands such columns out as text. */
const integer: EntitySchemaColumnOptions = {
  type: 'bigint',
  transformer: { to: (value: unknown) => value, from: (value: unknown) => (value === null ? null : Number(value)) },
};
const id = (digits: 32 | 64): EntitySchemaColumnOptions => ({ type: 'varchar', length: digits });

/** A vault and the head of its journal: appending compares and swaps this row. Ids and hashes are lower-case hex. */
export interface VaultRow {
  vaultId: string;
  number: string;
  /** seq of the last entry, mirrored or not. */
  headSeq: number;
  /** H(entry ‖ receipt) of the last entry: what the next one carries as `previous`. */
  headHash: string;
  generation: number;
  /** Number of the header in force. */
  headerSeq: number;
  /** Bytes of the packs that are reserved or stored. */
  usedBytes: number;
  /** How many packs that are. */
  usedObjects: number;
  createdAt: number;
}

/**
 * `pending`: reserved, not yet known to be stored. `stored`. `condemned`: no snapshot uses it, to be removed; a commit
 * that names it makes it stored again. `deleting`: the object may go at any moment. `pack-gone`: this id is used up.
 */
export type PackState = 'pending' | 'stored' | 'condemned' | 'deleting' | 'gone';

export interface PackRow {
  vaultId: string;
  packId: string;
  length: number;
  state: PackState;
  createdAt: number;
  /** Of a pending pack: until when its upload may take; then the sweeper decides. */
  expiresAt: number | null;
  /** Since when no snapshot uses it, or when `keep` was last asked for; null when one does. */
  unreferencedSince: number | null;
  /** The first and the last entry that listed it. */
  firstSeq: number | null;
  lastSeq: number | null;
  /** When a scrub last took it to be read; 0 before the first. */
  scrubbedAt: number;
  /** Since when its object is known to be missing or rotten; null while it is not. */
  damagedSince: number | null;
  /** Until when one upload has the leave to put the rotten object away. */
  healingUntil: number | null;
  /** The pack that was sealed anew in its place (`pack-replaced`). */
  replacedBy: string | null;
}

/** An entry whose object in the bucket is lost, with the record of its snapshot. */
export interface LostFrameRow {
  vaultId: string;
  seq: number;
  damagedSince: number;
}

/** How far the scrub of a vault's journal has come. */
export interface ScrubCursorRow {
  vaultId: string;
  seq: number;
}

export interface EntryRow {
  vaultId: string;
  seq: number;
  kind: number;
  generation: number;
  entryHash: string;
  deviceId: string;
  mandateRef: string;
  subject: string;
  entry: Buffer;
  /** Pack ids joined, 32 bytes each: one list per entry, not a row per pair. */
  packIds: Buffer;
  /** Null for a snapshot once it is mirrored: records then live in the bucket only. */
  attachment: Buffer | null;
  receipt: Buffer;
  /** Whether the bucket has it. Only then is it shown. */
  mirrored: boolean;
  receivedAt: number;
}

export interface SnapshotRow {
  vaultId: string;
  snapshotId: string;
  seq: number;
  mandateRef: string;
  /** seq of the entry that forgot it; null while it lives. */
  forgottenSeq: number | null;
  /** yyyymmdd, or 0. */
  holdUntil: number;
}

export interface HeaderRow {
  vaultId: string;
  headerSeq: number;
  /** The entry that brought it. */
  seq: number;
  generation: number;
  header: Buffer;
  /** The share as the key ring sealed it: the object `v/<vault>/s/<headerSeq>`. */
  sealedShare: Buffer;
}

/** When a mandate last gave a sign of life. */
export interface MandateRow {
  vaultId: string;
  mandateRef: string;
  lastSnapshotAt: number;
  /** The last time a device said that nothing had changed. */
  lastSeenAt: number | null;
}

/** The one open challenge of a device: 32 bytes, no secret, but good for one proof only. */
export interface ChallengeRow {
  deviceId: string;
  challenge: Buffer;
  expiresAt: number;
}

export const VaultEntity = new EntitySchema<VaultRow>({
  name: 'Vault',
  tableName: 'vault',
  columns: {
    vaultId: { ...id(32), primary: true, name: 'vault_id' },
    number: { type: 'varchar', length: 12 },
    headSeq: { ...integer, name: 'head_seq' },
    headHash: { ...id(64), name: 'head_hash' },
    generation: { ...integer },
    headerSeq: { ...integer, name: 'header_seq' },
    usedBytes: { ...integer, name: 'used_bytes' },
    usedObjects: { ...integer, name: 'used_objects' },
    createdAt: { ...integer, name: 'created_at' },
  },
});

export const PackEntity = new EntitySchema<PackRow>({
  name: 'Pack',
  tableName: 'pack',
  columns: {
    vaultId: { ...id(32), primary: true, name: 'vault_id' },
    packId: { ...id(64), primary: true, name: 'pack_id' },
    length: { ...integer },
    state: { type: 'varchar', length: 9 },
    createdAt: { ...integer, name: 'created_at' },
    expiresAt: { ...integer, name: 'expires_at', nullable: true },
    unreferencedSince: { ...integer, name: 'unreferenced_since', nullable: true },
    firstSeq: { ...integer, name: 'first_seq', nullable: true },
    lastSeq: { ...integer, name: 'last_seq', nullable: true },
    scrubbedAt: { ...integer, name: 'scrubbed_at', default: 0 },
    damagedSince: { ...integer, name: 'damaged_since', nullable: true },
    healingUntil: { ...integer, name: 'healing_until', nullable: true },
    replacedBy: { type: 'varchar', length: 64, name: 'replaced_by', nullable: true },
  },
});

export const EntryEntity = new EntitySchema<EntryRow>({
  name: 'Entry',
  tableName: 'entry',
  columns: {
    vaultId: { ...id(32), primary: true, name: 'vault_id' },
    seq: { ...integer, primary: true },
    kind: { type: 'integer' },
    generation: { ...integer },
    entryHash: { ...id(64), name: 'entry_hash' },
    deviceId: { ...id(32), name: 'device_id' },
    mandateRef: { ...id(32), name: 'mandate_ref' },
    subject: { ...id(64) },
    entry: { type: 'blob' },
    packIds: { type: 'blob', name: 'pack_ids' },
    attachment: { type: 'blob', nullable: true },
    receipt: { type: 'blob' },
    mirrored: { type: 'boolean' },
    receivedAt: { ...integer, name: 'received_at' },
  },
});

export const SnapshotEntity = new EntitySchema<SnapshotRow>({
  name: 'Snapshot',
  tableName: 'snapshot',
  columns: {
    vaultId: { ...id(32), primary: true, name: 'vault_id' },
    snapshotId: { ...id(64), primary: true, name: 'snapshot_id' },
    seq: { ...integer },
    mandateRef: { ...id(32), name: 'mandate_ref' },
    forgottenSeq: { ...integer, name: 'forgotten_seq', nullable: true },
    holdUntil: { type: 'integer', name: 'hold_until' },
  },
});

export const HeaderEntity = new EntitySchema<HeaderRow>({
  name: 'Header',
  tableName: 'header',
  columns: {
    vaultId: { ...id(32), primary: true, name: 'vault_id' },
    headerSeq: { ...integer, primary: true, name: 'header_seq' },
    seq: { ...integer },
    generation: { ...integer },
    header: { type: 'blob' },
    sealedShare: { type: 'blob', name: 'sealed_share' },
  },
});

export const MandateEntity = new EntitySchema<MandateRow>({
  name: 'Mandate',
  tableName: 'mandate',
  columns: {
    vaultId: { ...id(32), primary: true, name: 'vault_id' },
    mandateRef: { ...id(32), primary: true, name: 'mandate_ref' },
    lastSnapshotAt: { ...integer, name: 'last_snapshot_at' },
    lastSeenAt: { ...integer, name: 'last_seen_at', nullable: true },
  },
});

export const ChallengeEntity = new EntitySchema<ChallengeRow>({
  name: 'Challenge',
  tableName: 'challenge',
  columns: {
    deviceId: { ...id(32), primary: true, name: 'device_id' },
    challenge: { type: 'blob' },
    expiresAt: { ...integer, name: 'expires_at' },
  },
});

export const LostFrameEntity = new EntitySchema<LostFrameRow>({
  name: 'LostFrame',
  tableName: 'lost_frame',
  columns: {
    vaultId: { ...id(32), primary: true, name: 'vault_id' },
    seq: { ...integer, primary: true },
    damagedSince: { ...integer, name: 'damaged_since' },
  },
});

export const ScrubCursorEntity = new EntitySchema<ScrubCursorRow>({
  name: 'ScrubCursor',
  tableName: 'scrub_cursor',
  columns: {
    vaultId: { ...id(32), primary: true, name: 'vault_id' },
    seq: { ...integer },
  },
});
