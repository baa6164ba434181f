import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { FolderStore } from './folder-store.ts';
import { describeBlobStore } from './store.contract.ts';

let base: string;
let count = 0;

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'safe-blobs-'));
});

afterAll(() => rm(base, { recursive: true, force: true }));

const freshFolder = () => join(base, String(count++));

describeBlobStore('folder', () => FolderStore.open(freshFolder()));

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('no temporary file outlives a put, whether it worked or not', async () => {
  const root = freshFolder();
  const store = await FolderStore.open(root);
  const bytes = Buffer.from('abc');
  await store.put('v/a', bytes, { length: 3, sha256: hash(bytes) });
  await store.put('v/a', bytes, { length: 3, sha256: hash(bytes) });
  await expect(store.put('v/b', bytes, { length: 3, sha256: hash(Buffer.from('abd')) })).rejects.toThrow();
  expect(await readdir(join(root, 'tmp'))).toEqual([]);
});

test('objects and folders belong to their owner alone', async () => {
  const root = freshFolder();
  const store = await FolderStore.open(root);
  await store.put('v/a/b', Buffer.from('x'), { length: 1, sha256: hash(Buffer.from('x')) });
  expect((await stat(join(root, 'v/a'))).mode & 0o777).toBe(0o700);
  expect((await stat(join(root, 'v/a/b'))).mode & 0o777).toBe(0o600);
});

test('F-13: the sweep at start removes the leavings of dead processes and of our own past, not of a living neighbour', async () => {
  const root = freshFolder();
  const store = await FolderStore.open(root);
  const ours = `${process.pid}-${'0'.repeat(24)}`;
  const neighbour = `${process.ppid}-${'1'.repeat(24)}`;
  for (const name of [ours, neighbour, `4194999-${'2'.repeat(24)}`, 'junk'])
    await writeFile(join(root, 'tmp', name), 'half a pack');
  expect(await store.sweepTemp(Date.now())).toBe(3);
  expect(await readdir(join(root, 'tmp'))).toEqual([neighbour]);
  expect(await store.sweepTemp(Date.now() + 2 * 24 * 3600 * 1000)).toBe(1);
});

test('F-25: a full disk is told as such, and leaves nothing', async () => {
  const root = freshFolder();
  const store = await FolderStore.open(root);
  const full = (async function* () {
    yield Buffer.from('a');
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  })();
  await expect(store.put('v/a', full, { length: 2, sha256: '0'.repeat(64) })).rejects.toMatchObject({
    code: 'storage-full',
  });
  expect(await readdir(join(root, 'tmp'))).toEqual([]);
});
