import { copyFileSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Finished } from '../support/process.ts';
import { ProtocolClient } from '../support/protocol-client.ts';
import { SafeServer } from '../support/server.ts';

let dir: string;
let server: SafeServer;
const ring = (): string => `${server.dataDir}.keys.json`;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cresus-safe-test-'));
  server = await new SafeServer(join(dir, 'data')).start();
  const { enrolmentCode } = await server.addSubscriber();
  await ProtocolClient.withVault(server.url, enrolmentCode);
  await server.stop();
});
afterAll(async () => {
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** `serve` as it ends when it refuses; a server that starts instead runs into the time limit. */
function serve(of: SafeServer = server, ...more: string[]): Promise<Finished> {
  return of.operate('serve', '--listen', '127.0.0.1:0', ...more);
}

/** What lies in the data folder, apart from the files that SQLite makes as it goes. */
const stored = (): string[] =>
  (readdirSync(server.dataDir, { recursive: true }) as string[]).filter((name) => !/-(wal|shm)$/.test(name)).toSorted();

describe('TN-50 what a server refuses to start on', () => {
  it('TN-50 stored data without its key ring: refuses, makes no new ring, changes nothing', async () => {
    const before = stored();
    renameSync(ring(), `${ring()}.away`);
    const refused = await serve();
    expect([refused.code, existsSync(ring())]).toEqual([1, false]);
    expect(refused.stderr).toContain(ring());
    renameSync(`${ring()}.away`, ring());
    expect(stored()).toEqual(before);
  });

  it('TN-50 the key ring of another server, or a broken one', async () => {
    const other = await new SafeServer(join(dir, 'other')).start();
    await other.stop();
    renameSync(ring(), `${ring()}.away`);
    copyFileSync(`${other.dataDir}.keys.json`, ring());
    expect((await serve()).code).toBe(1);
    for (const content of ['', '{}', '{"version":1}', 'x'.repeat(1000)]) {
      writeFileSync(ring(), content, { mode: 0o600 });
      const refused = await serve();
      expect([content.length, refused.code]).toEqual([content.length, 1]);
      expect(refused.stderr).not.toMatch(/\n +at /);
    }
    renameSync(`${ring()}.away`, ring());
  });

  it('TN-50 a database that is gone while the bucket is not: no second Safe is begun', async () => {
    const database = join(server.dataDir, 'safe.sqlite');
    renameSync(database, `${database}.away`);
    const refused = await serve();
    expect(refused.code).toBe(1);
    rmSync(database, { force: true });
    renameSync(`${database}.away`, database);
  });

  it('TN-50 a key ring inside the data folder, and settings that make no sense', async () => {
    const fresh = new SafeServer(join(dir, 'fresh'));
    const inside = ['--keys', join(fresh.dataDir, 'keys.json')];
    for (const more of [
      inside,
      ['--trust-proxy', 'true'],
      ['--trust-proxy', '-1'],
      ['--log-level', 'everything'],
      ['--database', 'postgres://x:y@z'],
      ['--blobs', 'gs://books'],
    ]) {
      const refused = await serve(fresh, ...more);
      expect([more, refused.code]).toEqual([more, 2]);
      expect(readdirSync(fresh.dataDir)).toEqual([]);
    }
  });

  it('TN-50 no account, code or token is there by default, and other commands never begin a Safe', async () => {
    const empty = new SafeServer(join(dir, 'empty'));
    expect((await empty.operate('subscriber', 'list')).code).toBe(14);
    expect(readdirSync(empty.dataDir)).toEqual([]);
    await empty.start();
    expect(await empty.operateJson('subscriber', 'list')).toMatchObject({ subscribers: [] });
    expect(await empty.operateJson('device', 'list')).toMatchObject({ devices: [] });
    await empty.stop();
  });

  it('TN-50 after all these refusals the server starts on its own data', async () => {
    await server.start();
    expect(await server.operateJson('subscriber', 'list')).toMatchObject({
      subscribers: [{ name: 'Menuiserie Dupont' }],
    });
  });
});
