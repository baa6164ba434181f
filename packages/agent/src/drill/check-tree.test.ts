import { createHash } from 'node:crypto';
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { microsOf } from '../mandate/scan.ts';
import { checkTree, type RestoredFile } from './check-tree.ts';
import { lookAtModule } from './module-file.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safe-drill-'));
  for (const name of ['disk', 'scratch']) mkdirSync(join(folder, name));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A file on disk and its equal in the scratch folder, as the backup knows it. */
function saved(name: string, text: string): RestoredFile {
  const [onDisk, place] = [join(folder, 'disk', name), join(folder, 'scratch', name)];
  for (const path of [onDisk, place]) writeFileSync(path, text);
  const stat = lstatSync(onDisk, { bigint: true });
  const sha256 = createHash('sha256').update(text).digest('hex');
  return { path: name, size: Number(stat.size), mtime: microsOf(stat), sha256, place };
}

const check = (files: readonly RestoredFile[], modules: readonly string[] = []) =>
  checkTree(files, modules, join(folder, 'disk'), new AbortController().signal);

test('what came back is compared with the backup, and with the disk where that was left alone', async () => {
  const [kept, worked, gone] = [saved('kept', 'k'), saved('worked', 'w'), saved('gone', 'g')];
  appendFileSync(join(folder, 'disk', 'worked'), ' on');
  rmSync(join(folder, 'disk', 'gone'));
  expect(await check([kept, worked, gone])).toEqual({
    verified: 3,
    wrong: [],
    comparedWithDisk: 1,
    differsFromDisk: [],
    modules: [],
  });
});

test('a restored file with other bytes is wrong, and so is one that is not there', async () => {
  const [good, bad, lost] = [saved('good', 'x'), saved('bad', 'x'), saved('lost', 'x')];
  writeFileSync(bad.place, 'y');
  rmSync(lost.place);
  expect(await check([good, bad, lost])).toMatchObject({ verified: 1, wrong: ['bad', 'lost'] });
});

test('a disk that changed a file behind its date is found', async () => {
  const rotten = saved('rotten', 'abc');
  const path = join(folder, 'disk', 'rotten');
  const { atime, mtime } = lstatSync(path);
  const before = lstatSync(path, { bigint: true });
  writeFileSync(path, 'abd');
  utimesSync(path, atime, mtime);
  // utimes rounds to the millisecond or so: what the backup knows is what the disk now says
  const file = { ...rotten, mtime: microsOf(lstatSync(path, { bigint: true })) };
  expect(before.size).toBe(3n);
  expect(await check([file])).toMatchObject({ verified: 1, comparedWithDisk: 1, differsFromDisk: ['rotten'] });
});

test('modules are looked at by their form', async () => {
  const file = saved('books.cre', 'no known form');
  expect(await check([file], ['books.cre'])).toMatchObject({
    modules: [{ file: 'books.cre', format: 'unknown', ok: true }],
  });
});

test('an SQLite file has all its pages, or is not whole', () => {
  const path = join(folder, 'a.cre');
  const db = new DatabaseSync(path);
  db.exec('create table t(a)');
  for (let n = 0; n < 50; n++) db.exec('insert into t values (zeroblob(900))');
  db.close();
  expect(lookAtModule(path)).toEqual({ format: 'sqlite', ok: true });
  const { size } = lstatSync(path);
  truncateSync(path, size - 4096);
  expect(lookAtModule(path)).toEqual({ format: 'sqlite', ok: false });
  truncateSync(path, size - 5000);
  expect(lookAtModule(path)).toEqual({ format: 'sqlite', ok: false });
  truncateSync(path, 60);
  expect(lookAtModule(path)).toEqual({ format: 'sqlite', ok: false });
});

test('a ZIP has its directory, or is not whole', () => {
  const path = join(folder, 'a.salx');
  const name = Buffer.from('x');
  const local = Buffer.concat([Buffer.from('504b0304', 'hex'), Buffer.alloc(22), Buffer.from([1, 0, 0, 0]), name]);
  const central = Buffer.concat([Buffer.from('504b0102', 'hex'), Buffer.alloc(42), name]);
  const end = Buffer.alloc(22);
  end.write('504b0506', 'hex');
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(local.length, 16);
  writeFileSync(path, Buffer.concat([local, central, end]));
  expect(lookAtModule(path)).toEqual({ format: 'zip', ok: true });
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, -1));
  expect(lookAtModule(path)).toEqual({ format: 'zip', ok: false });
  end.writeUInt32LE(whole.length, 16);
  writeFileSync(path, Buffer.concat([local, central, end]));
  expect(lookAtModule(path)).toEqual({ format: 'zip', ok: false });
});

test.each([
  ['empty', ''],
  ['short', 'PK'],
  ['other', 'hello'],
])('a file that is %s is not judged', (_, text) => {
  const path = join(folder, 'a.fac');
  writeFileSync(path, text);
  expect(lookAtModule(path)).toEqual({ format: 'unknown', ok: true });
});
