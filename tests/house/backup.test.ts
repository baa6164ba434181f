import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { lacksProgram, testWith } from '../support/faults.ts';
import { repository, run } from '../support/process.ts';
import { lacksPostgres, realPostgres } from '../support/real-postgres.ts';
import { SafeServer } from '../support/server.ts';

const script = join(repository, 'infra/postgres/backup.sh');

/** What libpq reads, so that no password is an argument. */
function libpq(url: string): Record<string, string> {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    PGHOST: decodeURIComponent(hostname),
    PGPORT: port || '5432',
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: pathname.slice(1),
  };
}

describe('the backup of the database', () => {
  const test = testWith(lacksPostgres() ?? lacksProgram('pg_dump'));
  const dir = mkdtempSync(join(tmpdir(), 'safe-backup-'));
  const dumps = join(dir, 'dumps');
  afterAll(() => rmSync(dir, { recursive: true }));

  test('is read through, restored, compared and rotated; what it restores, a server starts on', async () => {
    const { url } = realPostgres();
    const env = libpq(url);
    const migrated = new SafeServer(join(dir, 'data'), { env: { SAFE_DATABASE: url } });
    await migrated.operateJson('migrate');
    expect(await migrated.operateJson('migrate')).toMatchObject({ migrations: expect.any(Number) }); // nothing to do
    await migrated.start();
    const { number } = await migrated.addSubscriber({ name: 'Dupont SA' });
    const old = ['safe-20200101T000000Z.dump', 'safe-20200102T000000Z.dump', 'safe-20200103T000000Z.dump'];
    const first = await run([script, dumps, '--check'], { env });
    expect(first).toMatchObject({ code: 0, stderr: '' });
    for (const name of old) {
      writeFileSync(join(dumps, name), '');
      utimesSync(join(dumps, name), 1.58e9, 1.58e9);
    }
    const second = await run([script, dumps, '--keep', '30'], { env });
    expect(second.code).toBe(0);
    expect(readdirSync(dumps).filter((name) => old.includes(name))).toEqual([old[2]]); // the newest three stay

    await migrated.stop();
    const other = realPostgres();
    const into = libpq(other.url);
    const restored = await run(
      ['pg_restore', '--exit-on-error', '--no-owner', '--dbname', String(into['PGDATABASE']), second.stdout.trim()],
      { env: into },
    );
    expect(restored).toMatchObject({ code: 0, stderr: '' });
    migrated.options = { env: { SAFE_DATABASE: other.url } };
    await migrated.start();
    expect(await migrated.operateJson('subscriber', 'show', number)).toMatchObject({ name: 'Dupont SA' });
    await migrated.stop();
  });

  test('fails loudly without a database, and leaves no half dump', async () => {
    const env = { ...libpq(realPostgres().url), PGDATABASE: 'nowhere' };
    const failed = await run([script, join(dir, 'none')], { env });
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toContain('nowhere');
    expect(readdirSync(join(dir, 'none'))).toEqual([]);
  });

  it('says how it is used', async () => {
    expect((await run([script])).code).toBe(2);
  });
});
