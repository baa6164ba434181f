import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { FolderStore } from './folder-store.ts';
import { describeBlobStore } from './store.contract.ts';
import { tempName, writerOf } from './writer-name.ts';

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

test('F-13: the sweep removes what dead processes left, never what a living one writes or another machine may write', async () => {
  const root = freshFolder();
  const store = await FolderStore.open(root);
  const own = tempName();
  const [place, pid, start] = own.split('-') as [string, string, string];
  const random = '0'.repeat(24);
  const gone = [
    `${place}-4194999-${start}-${random}`, // no such process
    `${place}-${pid}-${Number(start) - 1}-${random}`, // our own id, when it was another's
    `${place}-${process.ppid}-1-${random}`, // an id that came back
  ];
  const kept = [own, tempName(), `${'f'.repeat(12)}-${pid}-${start}-${random}`, 'junk'].sort();
  for (const name of [...gone, ...kept]) await writeFile(join(root, 'tmp', name), 'half a pack');
  expect(await store.sweepTemp(Date.now())).toBe(gone.length);
  expect((await readdir(join(root, 'tmp'))).sort()).toEqual(kept);
  expect(await store.sweepTemp(Date.now() + 2 * 24 * 3600 * 1000)).toBe(2); // of nobody known, untouched for a day
  expect(await readdir(join(root, 'tmp'))).toHaveLength(2);
});

test('F-13: the file of a living neighbour is told by when that process began', () => {
  const neighbour = spawnSync(process.execPath, [
    '--input-type=module',
    '-e',
    `import { tempName, writerOf } from ${JSON.stringify(new URL('writer-name.ts', import.meta.url).href)};
     const parent = process.argv[1];
     console.log(JSON.stringify([tempName(), writerOf(parent)]));`,
    tempName(),
  ]);
  const [theirs, told] = JSON.parse(neighbour.stdout.toString()) as [string, string];
  expect(told).toBe(process.platform === 'linux' ? 'running' : 'unknown');
  expect(writerOf(theirs)).toBe('gone');
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
