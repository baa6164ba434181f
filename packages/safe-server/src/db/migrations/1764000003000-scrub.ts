import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = [
  `ALTER TABLE pack ADD COLUMN scrubbed_at bigint NOT NULL DEFAULT 0 CHECK (scrubbed_at >= 0)`,
  `ALTER TABLE pack ADD COLUMN damaged_since bigint CHECK (damaged_since IS NULL OR state <> 'pending')`,
  `ALTER TABLE pack ADD COLUMN healing_until bigint CHECK (healing_until IS NULL OR damaged_since IS NOT NULL)`,
  // only what was lost is ever replaced, and never by itself
  `ALTER TABLE pack ADD COLUMN replaced_by varchar(64)
    CHECK (replaced_by IS NULL OR (damaged_since IS NOT NULL AND replaced_by <> pack_id))`,
  `CREATE INDEX ix_pack_scrubbed ON pack (scrubbed_at)`,
  `CREATE INDEX ix_pack_damaged ON pack (vault_id, pack_id) WHERE damaged_since IS NOT NULL`,
  `CREATE TABLE lost_frame (
    vault_id varchar(32) NOT NULL,
    seq bigint NOT NULL,
    damaged_since bigint NOT NULL,
    PRIMARY KEY (vault_id, seq),
    FOREIGN KEY (vault_id, seq) REFERENCES entry (vault_id, seq)
  )`,
  `CREATE TABLE scrub_cursor (
    vault_id varchar(32) PRIMARY KEY NOT NULL REFERENCES vault (vault_id),
    seq bigint NOT NULL CHECK (seq >= 0)
  )`,
];

const DOWN = [
  'DROP TABLE scrub_cursor',
  'DROP TABLE lost_frame',
  'DROP INDEX ix_pack_damaged',
  'DROP INDEX ix_pack_scrubbed',
  'ALTER TABLE pack DROP COLUMN replaced_by',
  'ALTER TABLE pack DROP COLUMN healing_until',
  'ALTER TABLE pack DROP COLUMN damaged_since',
  'ALTER TABLE pack DROP COLUMN scrubbed_at',
];

/** What a scrub knows of packs and of the journal's objects. */
export class Scrub1764000003000 implements MigrationInterface {
  readonly name = 'Scrub1764000003000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of UP) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of DOWN) await runner.query(statement);
  }
}
