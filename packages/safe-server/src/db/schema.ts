import type { EntitySchema, MigrationInterface, QueryRunner } from 'typeorm';
import { OperatorError } from '../errors.ts';

/** The tables and their history: what `Db.open` needs beside an address. */
export interface DbSchema {
  readonly entities: readonly EntitySchema[];
  // biome-ignore lint/complexity/noBannedTypes: typeorm names the type of a migration class so
  readonly migrations: readonly (Function & { prototype: MigrationInterface })[];
}

/**
 * Refuses a database on which a later version has worked: this one would misread what it does not know.
 * @throws OperatorError `database.newer`
 */
export async function refuseNewer(runner: QueryRunner, { migrations }: DbSchema): Promise<void> {
  if (!(await runner.hasTable('migrations'))) return;
  const rows = (await runner.query('SELECT name FROM migrations')) as { name: string }[];
  const known = new Set(migrations.map(({ name }) => name));
  const unknown = rows.find(({ name }) => !known.has(name));
  if (unknown !== undefined) throw new OperatorError('database.newer', { migration: unknown.name }, 1);
}
