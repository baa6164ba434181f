import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '../..');

/** The ids that this version must survive: first and last of each run. */
const REQUIRED = {
  MS: [
    [1, 31],
    [38, 46],
  ],
  TN: [
    [1, 18],
    [20, 23],
    [27, 32],
    [34, 37],
    [47, 49],
    [50, 50],
    [56, 56],
  ],
  F: [
    [1, 18],
    [23, 47],
  ],
  R: [
    [1, 8],
    [10, 10],
  ],
} as const;

const ID = /\b(?:MS|TN|F|R)-\d\d\b/g;
const FROM_TO = /\b(MS|TN|F|R)-(\d\d) to \1-(\d\d)\b/g;

interface Row {
  readonly ids: string[];
  readonly files: string[];
}

const id = (kind: string, number: number): string => `${kind}-${String(number).padStart(2, '0')}`;

function between(kind: string, first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => id(kind, first + index));
}

/** The ids that a text names; `F-13 to F-16` are four. */
function idsIn(text: string): string[] {
  const runs = [...text.matchAll(FROM_TO)].flatMap(([, kind = '', first, last]) =>
    between(kind, Number(first), Number(last)),
  );
  return [...new Set([...runs, ...(text.match(ID) ?? [])])];
}

/** The rows of every table whose first column is `id`. */
function readIndex(): Row[] {
  const lines = readFileSync(join(root, 'tests/attacks/README.md'), 'utf8').split('\n');
  const rows = lines.filter((line) => /^\| (?:MS|TN|F|R)-\d/.test(line));
  return rows.map((line) => {
    const cells = line.split('|').slice(1, -1);
    return {
      ids: idsIn(cells[0] ?? ''),
      files: Array.from((cells.at(-1) ?? '').matchAll(/`([^`]+)`/g), ([, name = '']) => name),
    };
  });
}

/** Where the file of that name in the index lies, as the index itself explains. */
function placesOf(name: string): string[] {
  const [first = '', ...rest] = name.split('/');
  const below = rest.join('/');
  if (rest.length === 0) return [`tests/attacks/${name}.test.ts`, `tests/faults/${name}.test.ts`];
  if (first === 'must-fail') return [`tests/vectors/must-fail/${below}.json`];
  if (['e2e', 'faults', 'house'].includes(first)) return [`tests/${name}.test.ts`];
  const folder = `packages/${first === 'server' ? 'safe-server' : first}/src/${below}`;
  return [`${folder}.test.ts`, `${folder}.ts`];
}

function fileOf(name: string): string | undefined {
  return placesOf(name).find((place) => existsSync(join(root, place)));
}

/** The ids in the titles of a file: those outside its comments, since titles and tables of titles are all that names them. */
function titledIn(file: string): string[] {
  const source = readFileSync(join(root, file), 'utf8');
  return idsIn(source.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, ''));
}

const rows = readIndex();

describe('the index of attacks', () => {
  it.each(Object.entries(REQUIRED))('lists every %s that must be survived', (kind, runs) => {
    const listed = new Set(rows.flatMap(({ ids }) => ids));
    const required = runs.flatMap(([first, last]) => between(kind, first, last));
    expect(required.filter((wanted) => !listed.has(wanted))).toEqual([]);
  });

  it.each(rows.map((row) => [row.ids.join(', '), row] as const))('%s: its files are there and name it', (_, row) => {
    expect(row.files.length).toBeGreaterThan(0);
    expect(row.files.filter((name) => fileOf(name) === undefined)).toEqual([]);
    const titled = new Map(row.files.map((name) => [name, titledIn(fileOf(name) ?? name)]));
    const named = new Set([...titled.values()].flat());
    expect(row.ids.filter((wanted) => !named.has(wanted))).toEqual([]);
    const idle = [...titled].filter(([, ids]) => !row.ids.some((wanted) => ids.includes(wanted)));
    expect(idle.map(([name]) => name)).toEqual([]);
  });
});
