import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '../config.ts';
import { SCHEMA } from '../db/entities.ts';
import { Db } from '../db/unit-of-work.ts';
import { print, type Terminal } from './terminal.ts';

/**
 * `migrate`: creates the tables or brings them up to date; nothing happens where they are. Needs neither the key ring nor
 * the bucket, and does no harm beside running servers: migrations only add.
 */
export async function migrate({ database }: Config, terminal: Terminal): Promise<void> {
  if (typeof database === 'string') await mkdir(dirname(database), { recursive: true, mode: 0o700 });
  const db = await Db.open(database, SCHEMA);
  try {
    const rows = await db.read((m) => m.query<{ name: string }[]>('SELECT name FROM migrations ORDER BY id'));
    const last = rows.at(-1)?.name ?? '';
    print(terminal, { migrations: rows.length, last }, () => [terminal.t('migrate.done', { last })]);
  } finally {
    await db.close();
  }
}
