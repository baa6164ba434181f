import { asHash, type CatalogNode } from '@cresus-safe/protocol';
import { describe, expect, test } from '@jest/globals';
import { selectNodes } from './select.ts';

const facts = { mtime: 0, mode: 0o644 };
const folder = (path: string): CatalogNode => ({ type: 'folder', path, ...facts });
const file = (path: string): CatalogNode => ({
  type: 'file',
  path,
  ...facts,
  size: 1,
  sha256: asHash('0'.repeat(64)),
  extents: [],
});

const NODES = [
  folder('Documents'),
  folder('Documents/2026'),
  file('Documents/2026/facture.pdf'),
  file('Documents/2026/note.txt'),
  file('Documents/lettre [1].pdf'),
  file('Documents/Été.pdf'.normalize('NFD')),
  folder('Vide'),
  file('compta.cre'),
  file('compta.cre.bak'),
];

describe('the files that --path means', () => {
  test.each([
    ['compta.cre', ['compta.cre']],
    ['./compta.cre', ['compta.cre']],
    ['*.cre', ['compta.cre']],
    ['compta.cr?', ['compta.cre']],
    ['compta.{cre,fac}', ['compta.cre']],
    ['[a-c]ompta.cre*', ['compta.cre', 'compta.cre.bak']],
    ['[!a-b]ompta.cre', ['compta.cre']],
    ['*.pdf', undefined],
    ['**/*.txt', ['Documents', 'Documents/2026', 'Documents/2026/note.txt']],
    ['Documents/*.pdf', ['Documents', 'Documents/lettre [1].pdf', 'Documents/Été.pdf'.normalize('NFD')]],
    ['Documents/lettre [1].pdf', ['Documents', 'Documents/lettre [1].pdf']],
    ['Documents/Été.pdf', ['Documents', 'Documents/Été.pdf'.normalize('NFD')]],
    ['Documents/2026/', ['Documents', 'Documents/2026', 'Documents/2026/facture.pdf', 'Documents/2026/note.txt']],
    ['Vide', ['Vide']],
    ['**', NODES.map(({ path }) => path)],
    ['../compta.cre', undefined],
    ['[z-a]', undefined],
  ])('%s', (pattern, expected) => {
    const chosen = (): string[] => selectNodes(NODES, [pattern]).map(({ path }) => path);
    if (expected) expect(chosen()).toEqual(expected);
    else expect(chosen).toThrow(expect.objectContaining({ kind: 'not-found', key: 'error.path-not-in-backup' }));
  });

  test('each of several patterns must mean something', () => {
    expect(selectNodes(NODES, ['Vide', 'compta.cre']).map(({ path }) => path)).toEqual(['Vide', 'compta.cre']);
    expect(() => selectNodes(NODES, ['Vide', 'rien'])).toThrow(expect.objectContaining({ params: { path: 'rien' } }));
  });
});
