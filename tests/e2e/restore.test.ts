import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { workOneDay } from '../support/books.ts';
import { copyTree, differences } from '../support/compare.ts';
import { World } from '../support/world.ts';

describe('restoring', () => {
  let world: World;
  let first: Agent;
  let books: string;
  let sent: string;

  beforeAll(async () => {
    world = await World.create();
    ({ first, books } = await world.household());
    await first.send('Dupont SA');
    sent = world.path('as-sent');
    copyTree(books, sent);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const restore = (...where: string[]) => ['restore', 'Dupont SA', '--snapshot', 'latest', ...where];

  it('needs to be told where, one way only', async () => {
    expect(await first.refused(restore())).toMatchObject({ exitCode: 2 });
    expect(await first.refused(restore('--into-current', '--as', 'Autre'))).toMatchObject({ exitCode: 2 });
    expect(
      await first.refused(['restore', 'Inconnu SA', '--snapshot', 'latest', '--to', world.path('x')]),
    ).toMatchObject({
      exitCode: 14,
      error: { code: 'not-found' },
    });
    const unknown = ['restore', 'Dupont SA', '--snapshot', 'ffffffffffff', '--to', world.path('x')];
    expect(await first.refused(unknown)).toMatchObject({ exitCode: 14 });
    expect(existsSync(world.path('x'))).toBe(false);
  });

  it('into the current mandate only with acceptance; --yes is none', async () => {
    workOneDay(books, 1, { scale: 0.01 });
    writeFileSync(join(books, 'note.txt'), 'not sent yet');
    const worked = world.path('worked');
    copyTree(books, worked);
    for (const more of [[], ['--yes']]) {
      const refusal = await first.refused(restore('--into-current', ...more));
      expect(refusal).toMatchObject({ exitCode: 8, error: { code: 'acceptance-missing' } });
      expect(differences(worked, books)).toEqual([]);
    }
  });

  it('into the current mandate replaces it whole; what was there is a point that undoes it', async () => {
    const result = await first.restore('Dupont SA', '--snapshot', 'latest', '--into-current', '--accept-replace');
    expect(differences(sent, books)).toEqual([]);
    expect(result).toMatchObject({
      verified: true,
      replacedKept: null,
      safetyPoint: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(result.changes.removed).toBeGreaterThanOrEqual(1); // note.txt
    expect(result.changes.changed).toBeGreaterThanOrEqual(2);
    const before = world.path('before');
    await first.restore('Dupont SA', '--point', result.safetyPoint ?? '', '--to', before);
    expect(differences(world.path('worked'), before)).toEqual([]);
  });

  it('as another mandate makes that mandate, beside the first', async () => {
    const result = await first.restore('Dupont SA', '--snapshot', 'latest', '--as', 'Dupont essai');
    expect(result.target).toBe(join(dirname(books), 'Dupont essai'));
    expect(differences(sent, result.target)).toEqual([]);
    const { mandates } = await first.json<{ mandates: { name: string; ref: string; path: string }[] }>([
      'mandate',
      'list',
    ]);
    expect(mandates.map(({ name }) => name).sort()).toEqual(['Dupont SA', 'Dupont essai']);
    expect(new Set(mandates.map(({ ref }) => ref)).size).toBe(2); // another name, another mandate
  });

  it('as a mandate that exists only with acceptance', async () => {
    const target = join(dirname(books), 'Dupont essai');
    writeFileSync(join(target, 'essai.txt'), 'mine');
    const refusal = await first.refused(restore('--as', 'Dupont essai'));
    expect(refusal).toMatchObject({ exitCode: 8, error: { code: 'acceptance-missing' } });
    expect(readFileSync(join(target, 'essai.txt'), 'utf8')).toBe('mine');
    await first.json(restore('--as', 'Dupont essai', '--accept-replace'));
    expect(differences(sent, target)).toEqual([]);
  });

  it('to a folder that is absent or empty, and to no other', async () => {
    const empty = world.path('empty');
    mkdirSync(empty);
    await first.json(restore('--to', empty));
    expect(differences(sent, empty)).toEqual([]);
    const full = world.path('full');
    mkdirSync(full);
    writeFileSync(join(full, 'theirs.txt'), 'precious');
    expect(await first.refused(restore('--to', full))).toMatchObject({ exitCode: 8 });
    expect(readdirSync(full)).toEqual(['theirs.txt']);
  });

  it('leaves no staging folder behind', () => {
    const beside = readdirSync(dirname(books)).filter((name) => name.startsWith('.'));
    expect(beside).toEqual([]);
  });
});
