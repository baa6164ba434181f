import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Mandate } from '../mandate/mandates.ts';

/** The modules of a mandate and their journals as the file system shows them: file name → size, times, inode. `''` is the folder. */
export type BooksState = ReadonlyMap<string, string>;

const SUFFIXES = ['', '-journal', '-wal'];

/**
 * Looks at a mandate without opening anything: a handful of stat calls, which work on every drive, where change
 * notifications of network drives do not arrive. While the folder is as it was `before`, no file came or went in it, and
 * only those that were there are looked at. Undefined when the folder is not there.
 */
export async function lookAtBooks({ path, modules }: Mandate, before?: BooksState): Promise<BooksState | undefined> {
  const folder = await describe(path);
  if (folder === undefined) return undefined;
  const names = before?.get('') === folder ? [...before.keys()].filter((name) => name !== '') : namesOf(modules);
  const states = await Promise.all(names.map((name) => describe(join(path, name))));
  const entries = names.flatMap((name, at) => {
    const state = states[at];
    return state === undefined ? [] : [[name, state] as const];
  });
  return new Map([['', folder], ...entries]);
}

function namesOf(modules: Mandate['modules']): string[] {
  return modules.flatMap(({ file }) => SUFFIXES.map((suffix) => file + suffix));
}

async function describe(path: string): Promise<string | undefined> {
  try {
    return text(await stat(path, { bigint: true }));
  } catch {
    return undefined; // not there, or the drive is away
  }
}

function text({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

/** The first file that differs, a module before the folder; undefined when nothing does. */
export function firstChange(before: BooksState, now: BooksState): string | undefined {
  const names = new Set([...now.keys(), ...before.keys()]);
  const changed = [...names].filter((name) => before.get(name) !== now.get(name));
  return changed.find((name) => name !== '') ?? changed[0];
}
