import type { EntityManager } from 'typeorm';
import { wordsOf } from './dialect.ts';
import type { DatabaseAddress } from './unit-of-work.ts';

/**
 * Where a test keeps its database: a fresh one, in this file, or on PostgreSQL in the jest project that runs the same suites
 * there (`tests/support/on-postgres.ts`).
 */
export function testDatabase(file: string): DatabaseAddress {
  return (globalThis as { safeTestDatabase?: () => DatabaseAddress }).safeTestDatabase?.() ?? file;
}

/** Whether this run is the one on PostgreSQL. */
export const onPostgres = 'safeTestDatabase' in globalThis;

/** Takes a refusal of the database away, for a test that makes by hand what only a crash leaves. */
export async function dropRefusal(manager: EntityManager, name: string, table: string): Promise<void> {
  for (const statement of wordsOf(manager).allow(name, table)) await manager.query(statement);
}

/** Lets references be wrong until the end of the unit of work. */
export async function deferReferences(manager: EntityManager): Promise<void> {
  await manager.query(onPostgres ? 'SET CONSTRAINTS ALL DEFERRED' : 'PRAGMA defer_foreign_keys = ON');
}
