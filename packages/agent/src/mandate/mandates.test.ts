import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type Home, homeAt } from '../local/home.ts';
import { checkFolder, checkName, findMandate, loadMandates, type Mandate, overlaps, saveMandates } from './mandates.ts';
import { detectModules } from './modules.ts';

let folder: string;
let home: Home;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'safe-mandates-')));
  home = homeAt(join(folder, 'home'));
  mkdirSync(home.dir);
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function mandate(name: string, path: string): Mandate {
  return { name, mandateId: 'a'.repeat(32), path, modules: [{ kind: 'accounting', file: 'x.cre' }] };
}

test.each(['Dupont SA', 'Éboulis & Fils', '12345678901234567890', 'Müller (neu)', '😀 Laden', 'comptes.2'])(
  'the name %s is fine',
  (name) => {
    expect(checkName(name)).toBe(name.normalize('NFC'));
  },
);

test.each([
  ['', 'error.name-empty'],
  ['   ', 'error.name-empty'],
  ['123456789012345678901', 'error.name-long'],
  ['a/b', 'error.name-characters'],
  ['a\\b', 'error.name-characters'],
  ['a:b', 'error.name-characters'],
  ['a\u0007b', 'error.name-characters'],
  ['a\u202eb', 'error.name-characters'],
  ['.cache', 'error.name-characters'],
  ['fin.', 'error.name-characters'],
  ['CON', 'error.name-reserved'],
  ['nul.txt', 'error.name-reserved'],
  ['Lpt1', 'error.name-reserved'],
])('the name %j is refused as %s', (name, key) => {
  expect(() => checkName(name)).toThrow(expect.objectContaining({ kind: 'usage', key }));
});

test('a name of 20 characters in decomposed form is composed first', () => {
  expect(checkName('e\u0301'.repeat(20))).toBe('é'.repeat(20));
});

test('names are the same whatever their case and Unicode form', () => {
  const list = [mandate('Élan', '/x')];
  expect(findMandate(list, 'E\u0301LAN')).toBe(list[0]);
  expect(findMandate(list, 'Elan')).toBeUndefined();
});

test('the list comes back as it was; a damaged one is never begun anew', () => {
  expect(loadMandates(home)).toEqual([]);
  saveMandates(home, [mandate('Zoé', '/z'), mandate('Anna', '/a')]);
  expect(loadMandates(home).map(({ name }) => name)).toEqual(['Anna', 'Zoé']);
  writeFileSync(home.mandates, '[{"name":"x","mandateId":"y","path":"/","modules":[{"kind":"other","file":"f"}]}]');
  expect(() => loadMandates(home)).toThrow(expect.objectContaining({ key: 'error.mandates-damaged' }));
});

test('a folder in, around or equal to another mandate or the home is refused', () => {
  const a = join(folder, 'a');
  const inner = join(a, 'inner');
  mkdirSync(inner, { recursive: true });
  mkdirSync(join(folder, 'ab'));
  symlinkSync(inner, join(folder, 'link'));
  const list = [mandate('A', a)];
  for (const path of [a, inner, folder, join(folder, 'link'), home.dir, join(a, '..', 'a')])
    expect(() => checkFolder(home, list, path)).toThrow(expect.objectContaining({ kind: 'nested-mandate' }));
  expect(checkFolder(home, list, join(folder, 'ab'))).toBe(join(folder, 'ab'));
});

test('a folder that is not there, or is a file, is missing', () => {
  writeFileSync(join(folder, 'file'), '');
  for (const name of ['none', 'file', 'file/x'])
    expect(() => checkFolder(home, [], join(folder, name))).toThrow(expect.objectContaining({ kind: 'path-missing' }));
});

test.each([
  ['/a', '/a/b', true],
  ['/a', '/ab', false],
  ['/a', '/a/..b', true],
  ['/', '/x', true],
])('%s and %s overlap: %s', (a, b, is) => {
  expect([overlaps(a, b), overlaps(b, a)]).toEqual([is, is]);
});

test('R-10: the modules are the files directly in the folder, by extension', () => {
  for (const name of ['b.CRE', 'a.fac', 'p.salx', 'q.sal6', 'r.sal', 'x.txt', 'constructor'])
    writeFileSync(join(folder, name), '');
  mkdirSync(join(folder, 'dir.cre'));
  mkdirSync(join(folder, 'courrier'));
  writeFileSync(join(folder, 'courrier', 'x.cre'), '');
  expect(detectModules(folder)).toEqual([
    { kind: 'invoicing', file: 'a.fac' },
    { kind: 'accounting', file: 'b.CRE' },
    { kind: 'payroll', file: 'p.salx' },
    { kind: 'payroll', file: 'q.sal6' },
    { kind: 'payroll', file: 'r.sal' },
  ]);
});
