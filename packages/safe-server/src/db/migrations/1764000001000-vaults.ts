import type { MigrationInterface, QueryRunner } from 'typeorm';
import { type Words, wordsOf } from '../dialect.ts';

/** The head of a vault and the header in force are rows that refer to the vault themselves: checked at the end of a unit. */
const HEADS = [
  'FOREIGN KEY (vault_id, head_seq) REFERENCES entry (vault_id, seq) DEFERRABLE INITIALLY DEFERRED',
  'FOREIGN KEY (vault_id, header_seq) REFERENCES header (vault_id, header_seq) DEFERRABLE INITIALLY DEFERRED',
];

const up = ({ dialect, blob, isHex: hex, isBoolean, refuse }: Words) => [
  `CREATE TABLE vault (
    vault_id varchar(32) PRIMARY KEY NOT NULL CHECK (${hex('vault_id', 32)}),
    number varchar(12) NOT NULL UNIQUE REFERENCES subscriber (number),
    head_seq bigint NOT NULL CHECK (head_seq >= 1),
    head_hash varchar(64) NOT NULL CHECK (${hex('head_hash', 64)}),
    generation bigint NOT NULL CHECK (generation >= 0),
    header_seq bigint NOT NULL CHECK (header_seq >= 1),
    used_bytes bigint NOT NULL CHECK (used_bytes >= 0),
    created_at bigint NOT NULL
    ${dialect === 'sqlite' ? HEADS.map((head) => `, ${head}`).join('') : ''}
  )`,
  `CREATE TABLE pack (
    vault_id varchar(32) NOT NULL REFERENCES vault (vault_id),
    pack_id varchar(64) NOT NULL CHECK (${hex('pack_id', 64)}),
    length bigint NOT NULL CHECK (length BETWEEN 262144 AND 17825792 AND length % 262144 = 0),
    state varchar(9) NOT NULL CHECK (state IN ('pending', 'stored', 'condemned', 'deleting', 'gone')),
    created_at bigint NOT NULL,
    expires_at bigint CHECK ((expires_at IS NOT NULL) = (state = 'pending')),
    unreferenced_since bigint CHECK (state <> 'condemned' OR unreferenced_since IS NOT NULL),
    first_seq bigint,
    last_seq bigint,
    PRIMARY KEY (vault_id, pack_id),
    CHECK ((first_seq IS NULL) = (last_seq IS NULL) AND (first_seq IS NULL OR first_seq <= last_seq)),
    CHECK (state <> 'pending' OR first_seq IS NULL),
    CHECK (state <> 'stored' OR unreferenced_since IS NOT NULL OR first_seq IS NOT NULL)
  )`,
  `CREATE INDEX ix_pack_expires ON pack (expires_at) WHERE state = 'pending'`,
  `CREATE TABLE entry (
    vault_id varchar(32) NOT NULL REFERENCES vault (vault_id),
    seq bigint NOT NULL CHECK (seq >= 1),
    kind integer NOT NULL CHECK (kind BETWEEN 1 AND 11 AND (kind = 1) = (seq = 1)),
    generation bigint NOT NULL CHECK (generation >= 0),
    entry_hash varchar(64) NOT NULL CHECK (${hex('entry_hash', 64)}),
    device_id varchar(32) NOT NULL CHECK (${hex('device_id', 32)}),
    mandate_ref varchar(32) NOT NULL CHECK (${hex('mandate_ref', 32)}),
    subject varchar(64) NOT NULL CHECK (${hex('subject', 64)}),
    entry ${blob} NOT NULL CHECK (length(entry) <= 4096),
    pack_ids ${blob} NOT NULL CHECK (length(pack_ids) % 32 = 0 AND length(pack_ids) <= 65536 * 32),
    attachment ${blob} CHECK (length(attachment) <= 4194304),
    receipt ${blob} NOT NULL CHECK (length(receipt) = 200),
    mirrored boolean NOT NULL CHECK (${isBoolean('mirrored')}),
    received_at bigint NOT NULL,
    PRIMARY KEY (vault_id, seq),
    CHECK (attachment IS NOT NULL OR (kind = 2 AND mirrored))
  )`,
  // the next append mirrors its predecessor first, so there is never a second one
  `CREATE UNIQUE INDEX ux_entry_unmirrored ON entry (vault_id) WHERE NOT mirrored`,
  `CREATE INDEX ix_entry_received ON entry (vault_id, received_at)`,
  `CREATE TABLE snapshot (
    vault_id varchar(32) NOT NULL,
    snapshot_id varchar(64) NOT NULL CHECK (${hex('snapshot_id', 64)}),
    seq bigint NOT NULL,
    mandate_ref varchar(32) NOT NULL CHECK (${hex('mandate_ref', 32)}),
    forgotten_seq bigint,
    hold_until integer NOT NULL CHECK (hold_until = 0 OR hold_until BETWEEN 19700101 AND 99991231),
    PRIMARY KEY (vault_id, snapshot_id),
    UNIQUE (vault_id, seq),
    FOREIGN KEY (vault_id, seq) REFERENCES entry (vault_id, seq),
    FOREIGN KEY (vault_id, forgotten_seq) REFERENCES entry (vault_id, seq),
    CHECK (forgotten_seq > seq)
  )`,
  `CREATE TABLE header (
    vault_id varchar(32) NOT NULL,
    header_seq bigint NOT NULL CHECK (header_seq >= 1),
    seq bigint NOT NULL,
    generation bigint NOT NULL CHECK (generation >= 0),
    header ${blob} NOT NULL CHECK (length(header) BETWEEN 1 AND 4096),
    sealed_share ${blob} NOT NULL CHECK (length(sealed_share) > 32),
    PRIMARY KEY (vault_id, header_seq),
    UNIQUE (vault_id, seq),
    FOREIGN KEY (vault_id, seq) REFERENCES entry (vault_id, seq)
  )`,
  `CREATE TABLE mandate (
    vault_id varchar(32) NOT NULL REFERENCES vault (vault_id),
    mandate_ref varchar(32) NOT NULL CHECK (${hex('mandate_ref', 32)}),
    last_snapshot_at bigint NOT NULL,
    last_seen_at bigint,
    PRIMARY KEY (vault_id, mandate_ref)
  )`,
  `CREATE TABLE challenge (
    device_id varchar(32) PRIMARY KEY NOT NULL REFERENCES device (device_id),
    challenge ${blob} NOT NULL CHECK (length(challenge) = 32),
    expires_at bigint NOT NULL
  )`,
  // the journal is a chain: what was appended stays, but for the note that the bucket has it too
  ...refuse('entry_no_delete', 'entry', 'DELETE', 'the journal is append-only'),
  ...refuse('entry_no_change', 'entry', 'UPDATE', 'the journal is append-only', CHANGED),
  // SQLite takes references to tables that come later, PostgreSQL adds them to tables that are there
  ...(dialect === 'postgres' ? HEADS.map((head) => `ALTER TABLE vault ADD ${head}`) : []),
];

const CHANGED = `OLD.vault_id <> NEW.vault_id OR OLD.seq <> NEW.seq OR OLD.entry <> NEW.entry OR OLD.receipt <> NEW.receipt
  OR OLD.pack_ids <> NEW.pack_ids OR (OLD.mirrored AND NOT NEW.mirrored)`;
const TABLES = ['challenge', 'mandate', 'header', 'snapshot', 'entry', 'pack', 'vault'];

/** Vaults: packs, journal, snapshots, headers. */
export class Vaults1764000001000 implements MigrationInterface {
  readonly name = 'Vaults1764000001000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of up(wordsOf(runner))) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    const { dialect, allow } = wordsOf(runner);
    for (const name of ['entry_no_delete', 'entry_no_change'])
      for (const statement of allow(name, 'entry')) await runner.query(statement);
    const cascade = dialect === 'postgres' ? 'CASCADE' : ''; // vault and entry refer to each other
    for (const table of TABLES) await runner.query(`DROP TABLE ${table} ${cascade}`);
  }
}
