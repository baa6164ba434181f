import { describe, expect, test } from '@jest/globals';
import { foldedKey, linkStaysInside, NameMap } from './names.ts';

const sensitive = { key: (name: string) => name, windows: false };
const folding = { key: foldedKey, windows: false };
const windows = { key: foldedKey, windows: true };

function placed(rules: ConstructorParameters<typeof NameMap>[0], paths: readonly string[]): string[] {
  const names = new NameMap(rules);
  return paths.map((path) => names.place(path, true));
}

describe('names at the target', () => {
  test('where case and Unicode forms are told apart, nothing is renamed', () => {
    const paths = ['FOO', 'foo', 'é', 'e\u0301', 'CON', 'a:b', 'x.'];
    expect(placed(sensitive, paths)).toEqual(paths);
  });

  test.each([
    [
      ['FOO', 'foo'],
      ['FOO', 'foo (2)'],
    ],
    [
      ['é.pdf', 'e\u0301.pdf'],
      ['é.pdf', 'e\u0301 (2).pdf'],
    ],
    [
      ['straße', 'strasse'],
      ['straße', 'strasse (2)'],
    ],
    [
      ['a', 'A', 'A (2)'],
      ['a', 'A (2)', 'A (2) (2)'],
    ],
    [
      ['D', 'D/x', 'd', 'd/x'],
      ['D', 'D/x', 'd (2)', 'd (2)/x'],
    ],
    [
      ['.cache', '.CACHE'],
      ['.cache', '.CACHE (2)'],
    ],
  ])('MS-35: %j become %j where they would collide', (paths, expected) => {
    expect(placed(folding, paths)).toEqual(expected);
  });

  test('MS-36: names that Windows reserves or reads otherwise are changed and told', () => {
    const paths = [
      'CON',
      'nul.txt',
      'com1.log',
      'a:b',
      'x::$INDEX_ALLOCATION',
      'trailing.',
      'space ',
      'a\\b',
      'PROGRA~1',
    ];
    const names = new NameMap(windows);
    const places = paths.map((path) => names.place(path, false));
    for (const place of places) expect(place).not.toMatch(/[:\\]|[. ]$|^(con|nul|com1)(\.|$)/i);
    expect(new Set(places).size).toBe(paths.length);
    expect(names.renamed.map(({ from }) => from)).toEqual(paths);
  });

  test.each([
    ['lien', 'compta.cre', true],
    ['a/lien', '../compta.cre', true],
    ['a/b/lien', '../../x/y', true],
    ['lien', './a', true],
    ['lien', '../compta.cre', false],
    ['a/lien', '../../x', false],
    ['lien', '/etc/passwd', false],
    ['lien', 'a/../../x', false],
    ['lien', 'a/../b', false],
    ['lien', 'C:\\x', false],
    ['lien', 'c:x', false],
    ['lien', '..\\x', false],
    ['lien', '', false],
    ['lien', 'a\0b', false],
  ])('MS-33 MS-34: a link at %s to %j may be recreated: %s', (at, target, allowed) => {
    expect(linkStaysInside(at, target)).toBe(allowed);
  });
});
