import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, jest, test } from '@jest/globals';
import { ATTEMPTS } from './attempts.ts';
import { OPERATIONS, type Operation } from './operations.ts';
import { type Json, toVector } from './values.ts';

// a header with the costs that writers use runs Argon2id over 256 MiB twice
jest.setTimeout(120_000);

interface Golden {
  readonly name: string;
  readonly op: string;
  readonly in: Json;
  readonly out: Json;
}

interface MustFail {
  readonly name: string;
  readonly what: string;
  readonly in: Json;
  readonly error: { readonly kind: string; readonly message: string };
}

function casesIn<Case>(folder: string): [file: string, cases: Case[]][] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => [name, (JSON.parse(readFileSync(join(folder, name), 'utf8')) as { cases: Case[] }).cases]);
}

function outcomeOf(run: () => unknown): Promise<{ kind?: unknown; message?: unknown } | undefined> {
  return Promise.resolve()
    .then(run)
    .then(
      () => undefined,
      (error: { kind?: unknown; message?: unknown }) => error,
    );
}

describe('golden vectors: the code gives exactly these bytes', () => {
  for (const [file, cases] of casesIn<Golden>(import.meta.dirname))
    for (const vector of cases)
      test(`${file}: ${vector.name}`, async () => {
        const run = OPERATIONS[vector.op as Operation] as (input: never) => unknown;
        expect(toVector(await run(vector.in as never))).toEqual(vector.out);
      });
});

describe('must-fail vectors: one defect each, refused by its own error', () => {
  const files = casesIn<MustFail>(join(import.meta.dirname, 'must-fail'));
  for (const [file, cases] of files)
    for (const vector of cases)
      test(`${file}: ${vector.name}`, async () => {
        const attempt = ATTEMPTS[vector.what] as (input: never) => unknown;
        const error = await outcomeOf(() => attempt(vector.in as never));
        expect(error).toMatchObject({ name: 'ProtocolError', kind: vector.error.kind });
        expect(String(error?.message)).toContain(vector.error.message);
      });

  test('there are at least 60, and no two with the same input and attempt', () => {
    const all = files.flatMap(([, cases]) => cases);
    expect(all.length).toBeGreaterThanOrEqual(60);
    expect(new Set(all.map((one) => JSON.stringify([one.what, one.in]))).size).toBe(all.length);
  });
});
