import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { envName, loadConfig, showConfig } from './config.ts';

let dir: string;
let file: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'safe-config-'));
  file = join(dir, 'config.json');
  await writeFile(file, JSON.stringify({ listen: '127.0.0.1:1', graceDays: 1, codeDays: 1 }));
});
afterAll(() => rm(dir, { recursive: true }));

describe('the configuration', () => {
  it('runs without any', async () => {
    expect(await loadConfig({}, {})).toMatchObject({
      host: '127.0.0.1',
      port: 8787,
      dataDir: resolve('safe-data'),
      keysFile: resolve('safe-data.keys.json'),
      database: resolve('safe-data/safe.sqlite'),
      blobs: resolve('safe-data/blobs'),
      trustProxy: 0,
      durations: { graceDays: 14, readOnlyMonths: 12, noticeDays: 90 },
      vaults: { reserveBytes: 256 * 1024 * 1024 },
    });
  });
  it('takes flags before the environment before the file before the defaults', async () => {
    const flags = { config: file, listen: '127.0.0.1:3' };
    const config = await loadConfig(flags, { SAFE_LISTEN: '127.0.0.1:2', SAFE_GRACE_DAYS: '2' });
    expect(config).toMatchObject({ port: 3, durations: { graceDays: 2 }, codeDays: 1, drainSeconds: 30 });
  });
  it('finds its file by SAFE_CONFIG too', async () => {
    expect(await loadConfig({}, { SAFE_CONFIG: file })).toMatchObject({ port: 1 });
  });
  it('names a bucket, and shows no key to it', async () => {
    const secret = join(dir, 'secret');
    await writeFile(secret, 'very-secret\n');
    const blobs = 's3://books/safe/one?endpoint=http://127.0.0.1:9000&region=eu-central-2';
    const config = await loadConfig({ blobs }, { SAFE_S3_ACCESS_KEY_FILE: secret, SAFE_S3_SECRET_FILE: secret });
    expect(config.blobs).toEqual({
      bucket: 'books',
      prefix: 'safe/one',
      endpoint: 'http://127.0.0.1:9000',
      region: 'eu-central-2',
      credentials: { accessKeyId: 'very-secret', secretAccessKey: 'very-secret' },
    });
    expect(JSON.stringify(showConfig(config))).not.toContain('very-secret');
  });
  it.each([
    's3:books',
    's3://',
    's3://Books',
    's3://key:secret@books',
    's3://books/x//y',
    's3://books?endpoint=ftp://x',
    's3://books?endpoint=http://key:secret@x',
    's3://books?secret=x',
  ])('%s is no bucket', async (blobs) => {
    await expect(loadConfig({ blobs }, {})).rejects.toMatchObject({ key: 'config.store' });
  });
  it('is frozen', async () => {
    const config = await loadConfig({}, {});
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.pace)).toBe(true);
  });
  it('names variables after settings', () => {
    expect(envName('dataDir')).toBe('SAFE_DATA_DIR');
  });
  it.each([
    ['listen without a port', { listen: '127.0.0.1' }, 'config.invalid'],
    ['a port that is none', { listen: '127.0.0.1:65536' }, 'config.invalid'],
    ['TN-25 trusting every proxy', { trustProxy: 'true' }, 'config.invalid'],
    ['a notice shorter than ninety days', { noticeDays: '89' }, 'config.invalid'],
    ['a negative time', { drainSeconds: '-1' }, 'config.invalid'],
    ['PostgreSQL', { database: 'postgres://x' }, 'config.store'],
    ['an unknown store', { blobs: 'gs://bucket' }, 'config.store'],
    ['an empty place', { database: 'sqlite:' }, 'config.store'],
    ['the keys inside the data', { dataDir: '/srv/safe', keys: '/srv/safe/keys.json' }, 'config.keys-inside'],
    ['a file that is not there', { config: '/nowhere.json' }, 'config.file'],
  ])('refuses %s, as a wrong command', async (_, flags, key) => {
    await expect(loadConfig(flags, {})).rejects.toMatchObject({ key, exitCode: 2 });
  });
  it('refuses a setting it does not know, in its file', async () => {
    const odd = join(dir, 'odd.json');
    await writeFile(odd, '{"lissten":"x"}');
    await expect(loadConfig({ config: odd }, {})).rejects.toMatchObject({ key: 'config.invalid' });
  });
});
