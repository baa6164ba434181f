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
