import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Bed, type Client, makePack, startBed } from '../vaults/conversation.test.bed.ts';
import { onPostgres, testDatabase } from './database.test.bed.ts';
import { SCHEMA } from './entities.ts';
import { openPostgres } from './postgres.ts';
import { openWriter } from './sqlite.ts';
import { type DatabaseAddress, Db } from './unit-of-work.ts';

let bed: Bed;
let a: Client;
let packId: string;

beforeAll(async () => {
  bed = await startBed();
  a = await bed.subscriber('1001');
  await a.createVault();
  packId = await a.putPack();
  await a.append(a.snapshot([packId]));
});

afterAll(() => bed.close());

const run = (sql: string) => bed.deps.db.write((m) => m.query(sql));
const other = makePack().id;
const [ZERO, ZEROS] = onPostgres ? ["'\\x00'::bytea", "decode(repeat('00', 200), 'hex')"] : ["x'00'", 'zeroblob(200)'];
const REFUSED = /CONSTRAINT|append-only|violates (check|foreign key|unique|not-null) constraint/;

describe('the database itself refuses an impossible state', () => {
  test.each([
    ['a pack of an unknown state', "UPDATE pack SET state = 'lost'"],
    ['a pending pack without an end', "UPDATE pack SET state = 'pending', first_seq = NULL, last_seq = NULL"],
    ['a stored pack that still expires', 'UPDATE pack SET expires_at = 1'],
    ['a condemned pack since no time', "UPDATE pack SET state = 'condemned', unreferenced_since = NULL"],
    ['a stored pack that is neither used nor unused', 'UPDATE pack SET first_seq = NULL, last_seq = NULL'],
    ['a use that ends before it begins', 'UPDATE pack SET first_seq = 3'],
    ['a pack of an odd size', 'UPDATE pack SET length = length + 1'],
    ['an empty pack', 'UPDATE pack SET length = 0'],
    ['a pack over 17 MiB', 'UPDATE pack SET length = 18 * 1024 * 1024'],
    ['an id in capitals', 'UPDATE pack SET pack_id = upper(pack_id)'],
    ['the same pack twice', 'INSERT INTO pack SELECT * FROM pack'],
    [
      'a pack of no vault',
      `INSERT INTO pack (vault_id, pack_id, length, state, created_at, unreferenced_since, first_seq, last_seq)
        SELECT '${'f'.repeat(32)}', '${other}', length, state, created_at, unreferenced_since, first_seq, last_seq FROM pack`,
    ],
    ['less than nothing used', 'UPDATE vault SET used_bytes = -1'],
    ['fewer packs than none', 'UPDATE vault SET used_objects = -1'],
    ['a head that is no entry', 'UPDATE vault SET head_seq = 9'],
    ['a header in force that is not there', 'UPDATE vault SET header_seq = 9'],
    ['a vault of nobody', "UPDATE vault SET number = '9999'"],
    ['an entry removed', 'DELETE FROM entry WHERE seq = 2'],
    ['an entry rewritten', `UPDATE entry SET entry = ${ZERO}`],
    ['another receipt', `UPDATE entry SET receipt = ${ZEROS}`],
    ['a shown entry hidden again', 'UPDATE entry SET mirrored = false WHERE seq = 1'],
    ['an entry that loses its attachment', 'UPDATE entry SET attachment = NULL WHERE seq = 1'],
    ['a second vault-create', 'UPDATE entry SET kind = 1 WHERE seq = 2'],
    ['a snapshot without its entry', 'UPDATE snapshot SET seq = 9'],
    ['a snapshot forgotten before it was made', 'UPDATE snapshot SET forgotten_seq = 1'],
    ['a hold that is no date', 'UPDATE snapshot SET hold_until = 5'],
    ['a header of no entry', 'UPDATE header SET seq = 9'],
    ['an audit row changed', "UPDATE audit SET facts = ''"],
  ])('%s', async (name, sql) => {
    if (name === 'an audit row changed')
      await run("INSERT INTO audit (at, actor, operation, outcome, facts) VALUES (1, 'server', 'x', 'ok', '{}')");
    await expect(run(sql)).rejects.toThrow(REFUSED);
  });

  test('the same seq twice', async () => {
    await expect(run('INSERT INTO entry SELECT * FROM entry')).rejects.toThrow(/UNIQUE|duplicate key/);
  });
});

const TABLES = onPostgres
  ? "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
  : "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
const openSource = (address: DatabaseAddress) =>
  typeof address === 'string' ? openWriter(address, SCHEMA) : openPostgres(address, SCHEMA);

describe('migrations', () => {
  let dir: string;
  let address: DatabaseAddress;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'safe-migrations-'));
    address = testDatabase(join(dir, 'safe.sqlite'));
  });

  afterEach(() => rm(dir, { recursive: true, force: true }));

  test('can be undone to nothing and done again', async () => {
    const source = await openSource(address);
    for (const _ of SCHEMA.migrations) await source.undoLastMigration();
    expect(await source.query(TABLES)).toEqual([{ name: 'migrations' }]);
    await source.destroy();
    const db = await Db.open(address, SCHEMA);
    await db.close();
  });

  test('run once when four servers start at once', async () => {
    const dbs = await Promise.all(Array.from({ length: 4 }, () => Db.open(address, SCHEMA)));
    const done = await dbs[0]?.read((m) => m.query('SELECT name FROM migrations'));
    expect(done).toHaveLength(SCHEMA.migrations.length);
    await Promise.all(dbs.map((db) => db.close()));
  });

  test('of a later version are not touched', async () => {
    const db = await Db.open(address, SCHEMA);
    await db.write((m) => m.query(`INSERT INTO migrations ("timestamp", name) VALUES (9, 'Later9')`));
    await db.close();
    await expect(Db.open(address, SCHEMA)).rejects.toMatchObject({
      key: 'database.newer',
      params: { migration: 'Later9' },
    });
  });
});
