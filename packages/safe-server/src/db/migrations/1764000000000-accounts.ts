import type { MigrationInterface, QueryRunner } from 'typeorm';
import { type Words, wordsOf } from '../dialect.ts';

const up = ({ serial, isDigits, isBoolean, refuse }: Words) => [
  `CREATE TABLE meta (name varchar PRIMARY KEY NOT NULL, value text NOT NULL)`,
  `CREATE TABLE subscriber (
    number varchar(12) PRIMARY KEY NOT NULL CHECK (${isDigits('number')}),
    name varchar NOT NULL,
    email varchar NOT NULL,
    language varchar(2) NOT NULL CHECK (language IN ('fr', 'de', 'it', 'en')),
    expires_on varchar(10) NOT NULL,
    quota_bytes bigint NOT NULL CHECK (quota_bytes >= 0),
    temporary_quota_bytes bigint CHECK (temporary_quota_bytes >= 0),
    quota_until varchar(10) CHECK ((quota_until IS NULL) = (temporary_quota_bytes IS NULL)),
    suspended boolean NOT NULL CHECK (${isBoolean('suspended')}),
    notice_sent_on varchar(10),
    created_at bigint NOT NULL,
    version integer NOT NULL,
    mirrored integer NOT NULL CHECK (mirrored <= version)
  )`,
  `CREATE TABLE device (
    device_id varchar(32) PRIMARY KEY NOT NULL CHECK (length(device_id) = 32),
    number varchar(12) NOT NULL REFERENCES subscriber (number),
    name varchar NOT NULL,
    token_hash varchar(64) NOT NULL UNIQUE,
    state varchar(8) NOT NULL CHECK (state IN ('pending', 'active')),
    rights varchar NOT NULL,
    created_at bigint NOT NULL,
    last_seen_at bigint,
    revoked_at bigint,
    version integer NOT NULL,
    mirrored integer NOT NULL CHECK (mirrored <= version)
  )`,
  `CREATE INDEX ix_device_number ON device (number)`,
  `CREATE TABLE code (
    code_hash varchar(64) PRIMARY KEY NOT NULL,
    number varchar(12) NOT NULL REFERENCES subscriber (number),
    purpose varchar(8) NOT NULL CHECK (purpose IN ('enrol')),
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint
  )`,
  `CREATE TABLE attempt (
    source varchar NOT NULL,
    window_start bigint NOT NULL,
    count integer NOT NULL,
    PRIMARY KEY (source, window_start)
  )`,
  `CREATE TABLE audit (
    id ${serial},
    at bigint NOT NULL,
    actor varchar NOT NULL,
    number varchar(12),
    operation varchar NOT NULL,
    run varchar,
    outcome varchar NOT NULL,
    facts text NOT NULL
  )`,
  // data access is folded: one row per device, operation and run, however many packs a run reads
  `CREATE UNIQUE INDEX ux_audit_run ON audit (actor, operation, run) WHERE run IS NOT NULL`,
  `CREATE INDEX ix_audit_number ON audit (number, id)`,
  // Olico art. 9: accesses are logged; a log that the program itself can rewrite proves nothing
  ...refuse('audit_no_update', 'audit', 'UPDATE', 'the audit log is append-only'),
  ...refuse('audit_no_delete', 'audit', 'DELETE', 'the audit log is append-only'),
];
const TABLES = ['audit', 'attempt', 'code', 'device', 'subscriber', 'meta'];

/** Subscribers, their devices and codes, limits on guessing, the access log. */
export class Accounts1764000000000 implements MigrationInterface {
  readonly name = 'Accounts1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of up(wordsOf(runner))) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    const { allow } = wordsOf(runner);
    for (const name of ['audit_no_update', 'audit_no_delete'])
      for (const statement of allow(name, 'audit')) await runner.query(statement);
    for (const table of TABLES) await runner.query(`DROP TABLE ${table}`);
  }
}
