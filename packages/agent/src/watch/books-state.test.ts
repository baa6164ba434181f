import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { Mandate } from '../mandate/mandates.ts';
import { type BooksState, firstChange, lookAtBooks } from './books-state.ts';

let mandate: Mandate;
let state: BooksState;

beforeEach(async () => {
  const path = mkdtempSync(join(tmpdir(), 'safe-look-'));
  for (const file of ['a.cre', 'b.fac', 'letter.pdf']) writeFileSync(join(path, file), file);
  mkdirSync(join(path, 'documents'));
  const modules = [
    { kind: 'accounting', file: 'a.cre' },
    { kind: 'invoicing', file: 'b.fac' },
    { kind: 'payroll', file: 'gone.sal' },
  ] as const;
  mandate = { name: 'Dupont', mandateId: '0f'.repeat(16), path, modules };
  state = (await lookAtBooks(mandate)) as BooksState;
});
afterEach(() => rmSync(mandate.path, { recursive: true, force: true }));

/** What the next look finds changed, when it may rely on the last one. */
async function next(): Promise<string | undefined> {
  const before = state;
  state = (await lookAtBooks(mandate, before)) as BooksState;
  return firstChange(before, state);
}

it('sees modules that are edited, replaced, made and removed, and their journals', async () => {
  const at = (name: string): string => join(mandate.path, name);
  expect(await next()).toBeUndefined();
  appendFileSync(at('b.fac'), 'one more invoice');
  expect(await next()).toBe('b.fac');
  writeFileSync(at('b.fac.new'), 'same name, other file');
  renameSync(at('b.fac.new'), at('b.fac'));
  expect(await next()).toBe('b.fac');
  writeFileSync(at('a.cre-wal'), 'page');
  expect(await next()).toBe('a.cre-wal');
  appendFileSync(at('a.cre-wal'), 'page');
  expect(await next()).toBe('a.cre-wal');
  rmSync(at('a.cre-wal'));
  expect(await next()).toBe('a.cre-wal');
  writeFileSync(at('gone.sal'), 'back');
  expect(await next()).toBe('gone.sal');
  expect(await next()).toBeUndefined();
});

it('sees that something came into the folder, and is not moved by what others do below it', async () => {
  writeFileSync(join(mandate.path, 'new letter.pdf'), 'x');
  expect(await next()).toBe('');
  writeFileSync(join(mandate.path, 'documents', 'scan.pdf'), 'x');
  expect(await next()).toBeUndefined();
});

it('a folder that is not there has no state', async () => {
  expect(await lookAtBooks({ ...mandate, path: join(mandate.path, 'unplugged') })).toBeUndefined();
});
