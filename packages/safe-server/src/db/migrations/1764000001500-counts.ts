import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = [
  `ALTER TABLE vault ADD COLUMN used_objects bigint NOT NULL DEFAULT 0 CHECK (used_objects >= 0)`,
  `UPDATE vault SET used_objects =
    (SELECT count(*) FROM pack WHERE pack.vault_id = vault.vault_id AND pack.state <> 'gone')`,
  // the plan in force is found without walking the journal
  `CREATE INDEX ix_entry_kind ON entry (vault_id, kind, seq)`,
  // the few that are not in the bucket yet are found without reading all (`accounts/mirror.ts`, `jobs/sweep.ts`)
  `CREATE INDEX ix_subscriber_behind ON subscriber (number) WHERE mirrored < version`,
  `CREATE INDEX ix_device_behind ON device (device_id) WHERE mirrored < version`,
  `DROP INDEX ux_entry_unmirrored`,
  `CREATE UNIQUE INDEX ux_entry_unmirrored ON entry (vault_id) WHERE NOT mirrored`,
];

const DOWN = [
  'DROP INDEX ix_device_behind',
  'DROP INDEX ix_subscriber_behind',
  'DROP INDEX ix_entry_kind',
  'ALTER TABLE vault DROP COLUMN used_objects',
];

/** Packs counted beside their bytes, and indexes for what grows. */
export class Counts1764000001500 implements MigrationInterface {
  readonly name = 'Counts1764000001500';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of UP) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of DOWN) await runner.query(statement);
  }
}
