import type { EntityManager } from 'typeorm';

// SQLite runs one unit of work at a time, so only PostgreSQL has anything to lock.

/**
 * Holds the row of a vault until the end of the unit of work: whoever reads what belongs to the vault and then writes by it
 * (quota, head, states of packs) calls this first.
 */
export async function lockVault(manager: EntityManager, vaultId: string): Promise<void> {
  if (manager.connection.options.type !== 'postgres') return;
  await manager.query('SELECT 1 FROM vault WHERE vault_id = $1 FOR UPDATE', [vaultId]);
}

/**
 * Orders a new device of a subscriber against the vault that another one makes: either the maker's unit of work sees the
 * device and makes it pending, or the device sees the vault.
 */
export async function lockDevices(manager: EntityManager, number: string): Promise<void> {
  await lockName(manager, `devices ${number}`);
}

/** Holds a name until the end of the unit of work, for what has no row to lock. */
export async function lockName(manager: EntityManager, name: string): Promise<void> {
  if (manager.connection.options.type !== 'postgres') return;
  await manager.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [name]);
}
