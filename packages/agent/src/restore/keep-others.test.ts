import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asHash, type CatalogNode } from '@cresus-safe/protocol';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { keepOthers } from './keep-others.ts';
import type { NameRules } from './names.ts';
import { planRestore } from './plan.ts';

const RULES: NameRules = { key: (name) => name, windows: false };
const facts = { mtime: 1_700_000_000_000_000, mode: 0o644 };
const planned: readonly CatalogNode[] = [
  { type: 'folder', path: 'Documents', ...facts },
  { type: 'file', path: 'Documents/a.pdf', ...facts, size: 1, sha256: asHash('0'.repeat(64)), extents: [] },
];

let folder: string;
let books: string;
let tree: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safe-keep-'));
  [books, tree] = [join(folder, 'books'), join(folder, 'tree')];
  mkdirSync(join(books, 'Documents'), { recursive: true });
  mkdirSync(join(tree, 'Documents'), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('everything that is not chosen is copied with its time, mode and links; what is chosen is not', async () => {
  writeFileSync(join(books, 'Documents', 'a.pdf'), 'current');
  writeFileSync(join(books, 'Documents', 'b.pdf'), 'stays');
  mkdirSync(join(books, 'Autre', 'vide'), { recursive: true });
  symlinkSync('../compta.cre', join(books, 'Autre', 'lien'));
  writeFileSync(join(books, 'compta.cre'), 'livre');
  chmodSync(join(books, 'compta.cre'), 0o440);
  utimesSync(join(books, 'compta.cre'), 1_600_000_000, 1_600_000_000);
  const { files, folders, links } = await keepOthers(books, tree, planRestore(planned, RULES), RULES, undefined);
  expect(readdirSync(join(tree, 'Documents'))).toEqual(['b.pdf']);
  expect(readFileSync(join(tree, 'compta.cre'), 'utf8')).toBe('livre');
  expect(lstatSync(join(tree, 'compta.cre')).mode & 0o777).toBe(0o600); // finished later, with the rest
  expect(files).toContainEqual({ placed: 'compta.cre', mtime: 1_600_000_000_000_000, mode: 0o440 });
  expect(folders.map(({ placed }) => placed).toSorted()).toEqual(['Autre', 'Autre/vide', 'Documents']);
  expect(links).toMatchObject([{ placed: 'Autre/lien', target: '../compta.cre' }]);
  expect(readlinkSync(join(books, 'Autre', 'lien'))).toBe('../compta.cre');
});

test.each([
  ['a folder where the file goes', () => mkdirSync(join(books, 'Documents', 'a.pdf'))],
  [
    'a file where the folder goes',
    () => [rmSync(join(books, 'Documents'), { recursive: true }), writeFileSync(join(books, 'Documents'), 'x')],
  ],
  [
    'a link where the folder goes',
    () => [rmSync(join(books, 'Documents'), { recursive: true }), symlinkSync('/etc', join(books, 'Documents'))],
  ],
])('%s is refused', async (_, make) => {
  make();
  await expect(keepOthers(books, tree, planRestore(planned, RULES), RULES, undefined)).rejects.toMatchObject({
    kind: 'usage',
    key: 'error.path-in-the-way',
  });
});
