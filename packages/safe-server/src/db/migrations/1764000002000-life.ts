import type { MigrationInterface, QueryRunner } from 'typeorm';

// SQLite cannot change a check: the table is made anew, with what it held
const codeTable = (purposes: string) => [
  `CREATE TABLE code_next (
    code_hash varchar(64) PRIMARY KEY NOT NULL,
    number varchar(12) NOT NULL REFERENCES subscriber (number),
    purpose varchar(8) NOT NULL CHECK (purpose IN (${purposes})),
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint
  )`,
  `INSERT INTO code_next (code_hash, number, purpose, created_at, expires_at, used_at)
    SELECT code_hash, number, purpose, created_at, expires_at, used_at FROM code WHERE purpose IN (${purposes})`,
  `DROP TABLE code`,
  `ALTER TABLE code_next RENAME TO code`,
];

/** What is being deleted, found without reading all; elevations: codes that let a computer forget, and until when they do. */
export class Life1764000002000 implements MigrationInterface {
  readonly name = 'Life1764000002000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of codeTable(`'enrol', 'forget'`)) await runner.query(statement);
    await runner.query(`CREATE INDEX ix_pack_deleting ON pack (vault_id, pack_id) WHERE state = 'deleting'`);
    await runner.query(`CREATE TABLE elevation (
      device_id varchar(32) PRIMARY KEY NOT NULL REFERENCES device (device_id),
      until_time bigint NOT NULL
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE elevation');
    await runner.query('DROP INDEX ix_pack_deleting');
    for (const statement of codeTable(`'enrol'`)) await runner.query(statement);
  }
}
