import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { copyTree, differences } from '../support/compare.ts';
import { World } from '../support/world.ts';

const NAME = 'Dupont SA';

interface Warnings {
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
}

/** A mandate of a few files, one of them read-only, with a time of its own. */
function makeSmallBooks(dir: string): void {
  mkdirSync(join(dir, 'Documents', 'vide'), { recursive: true });
  writeFileSync(join(dir, 'compta.cre'), 'écritures '.repeat(9000));
  writeFileSync(join(dir, 'Documents', 'facture é.pdf'), 'facture');
  writeFileSync(join(dir, 'Documents', 'note.txt'), 'bonjour', { mode: 0o440 });
  utimesSync(join(dir, 'Documents', 'note.txt'), 1_600_000_000, 1_600_000_000);
}

describe('the nine pairs of what is restored and where', () => {
  let world: World;
  let agent: Agent;
  let books: string;
  let saved: string;
  let copy: string;
  let worked: string;

  beforeAll(async () => {
    world = await World.create();
    const subscriber = await world.server.addSubscriber();
    agent = await world.connected(subscriber.enrolmentCode);
    books = world.path('Dupont');
    copy = world.path('dupont.pe-backup');
    makeSmallBooks(books);
    await agent.json(['mandate', 'add', NAME, '--path', books]);
    await agent.send(NAME);
    await agent.json(['point', NAME]);
    await agent.json(['copy', NAME, copy]);
    saved = world.path('saved');
    copyTree(books, saved);
    await world.server.stop(); // what follows needs it for snapshots only
    writeFileSync(join(books, 'compta.cre'), 'travail du matin');
    writeFileSync(join(books, 'neuf.txt'), 'neuf');
    worked = world.path('worked');
    copyTree(books, worked);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const sources: readonly (readonly [string, readonly string[]])[] = [
    ['copy', ['--copy', 'dupont.pe-backup']],
    ['point', ['--point', 'POINT']],
    ['snapshot', ['--snapshot', 'latest']],
  ];

  /** The flags with the file and the first point, which is the oldest. */
  async function flagsOf(flags: readonly string[]): Promise<string[]> {
    const { points } = await agent.json<{ points: { id: string }[] }>(['points', NAME]);
    return flags.map((flag) =>
      flag === 'POINT' ? (points.at(-1)?.id ?? '') : flag === 'dupont.pe-backup' ? copy : flag,
    );
  }

  /** Snapshots alone need the server. */
  async function withServer(kind: string, act: () => Promise<void>): Promise<void> {
    if (kind === 'snapshot') await world.server.start();
    try {
      await act();
    } finally {
      if (kind === 'snapshot') await world.server.stop();
    }
  }

  it.each(sources)(
    'a %s into the current mandate: refused without acceptance, then whole, and undone',
    async (kind, flags) => {
      await withServer(kind, async () => {
        const into = ['restore', NAME, ...(await flagsOf(flags)), '--into-current'];
        expect(await agent.refused(into)).toMatchObject({
          exitCode: 8,
          error: {
            message: 'Le mandat actuel sera remplacé. Cochez pour accepter',
            details: { changes: { removed: 1 } },
          },
        });
        expect(await agent.json([...into, '--dry-run'])).toMatchObject({
          dryRun: true,
          changes: { added: 0, changed: 1, removed: 1 },
        });
        expect(differences(worked, books)).toEqual([]);
        const done = await agent.json<{ safetyPoint: string }>([...into, '--accept-replace']);
        expect(done).toMatchObject({
          verified: true,
          replacedKept: null,
          changes: { added: 0, changed: 1, removed: 1 },
        });
        expect(done).toMatchObject({ safetyPoint: expect.stringMatching(/^[0-9a-f]{64}$/), source: { kind } });
        expect(differences(saved, books)).toEqual([]);
      });
      // nobody worked in it since: nothing is lost, and nothing to accept
      await agent.json(['restore', '--undo']);
      expect(differences(worked, books)).toEqual([]);
    },
  );

  it('undoing is undone the same way, and needs acceptance once somebody worked', async () => {
    await agent.json(['restore', '--undo', NAME]);
    expect(differences(saved, books)).toEqual([]);
    writeFileSync(join(books, 'apres.txt'), 'travail');
    expect(await agent.refused(['restore', '--undo'])).toMatchObject({ exitCode: 8 });
    await agent.json(['restore', '--undo', '--accept-replace']);
    expect(differences(worked, books)).toEqual([]);
  });

  it.each(sources)('a %s into another mandate: created, then refused, then replaced', async (kind, flags) => {
    await withServer(kind, async () => {
      const into = ['restore', NAME, ...(await flagsOf(flags)), '--as', `Essai ${kind}`];
      const made = await agent.json<{ target: string }>(into);
      expect(made).toMatchObject({ target: join(dirname(books), `Essai ${kind}`), safetyPoint: null, verified: true });
      expect(differences(saved, made.target)).toEqual([]);
      expect(await agent.refused(['restore', '--undo'])).toMatchObject({ exitCode: 2, error: { code: 'usage' } });
      writeFileSync(join(made.target, 'mien.txt'), 'mien');
      const other = into.with(-1, `ESSAI ${kind}`.normalize('NFD'));
      expect(await agent.refused(other)).toMatchObject({
        exitCode: 8,
        error: { message: 'Ce mandat existe déjà. Cochez pour le remplacer' },
      });
      expect(readFileSync(join(made.target, 'mien.txt'), 'utf8')).toBe('mien');
      expect(await agent.json([...other, '--accept-replace'])).toMatchObject({ changes: { removed: 1 } });
      expect(differences(saved, made.target)).toEqual([]);
    });
  });

  it.each(sources)('a %s into a plain folder: absent or empty, never another', async (kind, flags) => {
    await withServer(kind, async () => {
      const target = world.path('plain', kind);
      const into = ['restore', NAME, ...(await flagsOf(flags)), '--to', target];
      expect(await agent.json(into)).toMatchObject({ target, files: 3, safetyPoint: null, mandate: null });
      expect(differences(saved, target)).toEqual([]);
      expect(await agent.refused(into)).toMatchObject({ exitCode: 8 });
    });
  });

  it('without any connection, a new computer restores a copy', async () => {
    const fresh = world.computer({});
    await fresh.json(['restore', '--copy', copy, '--as', 'Repris']);
    const { mandates } = await fresh.json<{ mandates: { name: string; path: string }[] }>(['mandate', 'list']);
    expect(differences(saved, mandates[0]?.path ?? '')).toEqual([]);
    expect(await fresh.refused(['restore', 'Repris', '--copy', copy, '--as', 'Un nom bien trop long'])).toMatchObject({
      exitCode: 2,
    });
    expect(await fresh.refused(['restore', 'Repris', '--copy', copy, '--as', 'nul'])).toMatchObject({ exitCode: 2 });
  });

  it('several mandates from one backup: status and every send warn until one is said to live on', async () => {
    const codes = async (): Promise<string[]> =>
      (await agent.json<Warnings>(['status'])).warnings.map(({ code }) => code);
    expect(await codes()).toContain('several-from-one');
    await world.server.start();
    const sent = await agent.run(['send', NAME, '--json']);
    expect(sent.stderr).toContain('several-from-one');
    const kept = await agent.json<{ kept: string; others: string[] }>(['mandate', 'keep', NAME]);
    expect(kept.others).toContain('Essai copy');
    expect(await codes()).not.toContain('several-from-one');
    expect((await agent.run(['send', NAME, '--json'])).stderr).not.toContain('several-from-one');
    expect(await agent.refused(['mandate', 'keep', NAME])).toMatchObject({ exitCode: 2 });
    await agent.json(['restore', NAME, '--copy', copy, '--as', 'Encore']);
    expect(await codes()).toContain('several-from-one');
    await world.server.stop();
  });

  it('single files come back by pattern, and nothing else of the mandate changes', async () => {
    const now = world.path('now');
    symlinkSync('compta.cre', join(books, 'lien'));
    writeFileSync(join(books, 'Documents', 'facture é.pdf'), 'gâché');
    copyTree(books, now);
    const only = ['restore', NAME, '--copy', copy, '--path', 'Documents/*.pdf', '--into-current'];
    expect(await agent.refused([...only.with(-2, '*.xyz'), '--accept-replace'])).toMatchObject({ exitCode: 14 });
    expect(await agent.refused(only)).toMatchObject({ exitCode: 8, error: { details: { changes: { changed: 1 } } } });
    expect(differences(now, books)).toEqual([]);
    const done = await agent.restore(...only.slice(1), '--accept-replace');
    expect(done).toMatchObject({ files: 1, changes: { added: 0, changed: 1, removed: 0 }, replacedKept: null });
    writeFileSync(join(now, 'Documents', 'facture é.pdf'), 'facture');
    execFileSync('touch', ['-r', join(saved, 'Documents', 'facture é.pdf'), join(now, 'Documents', 'facture é.pdf')]);
    execFileSync('touch', ['-r', join(books, 'Documents'), join(now, 'Documents')]);
    expect(differences(now, books)).toEqual([]);
    const folder = world.path('one-folder');
    await agent.json(['restore', NAME, '--copy', copy, '--path', 'Documents', '--to', folder]);
    expect(readdirSync(folder)).toEqual(['Documents']);
    expect(differences(join(saved, 'Documents'), join(folder, 'Documents'))).toEqual([]);
  });

  it('needs exactly one backup and one place', async () => {
    for (const flags of [
      ['--to', world.path('x')],
      ['--copy', copy, '--point', 'latest', '--to', world.path('x')],
      ['--copy', copy],
      ['--undo', '--to', world.path('x')],
    ])
      expect([flags, (await agent.refused(['restore', NAME, ...flags])).exitCode]).toEqual([flags, 2]);
    expect(await agent.refused(['restore', NAME, '--point', 'ffffffff', '--to', world.path('x')])).toMatchObject({
      exitCode: 14,
    });
    expect(readdirSync(dirname(books)).filter((name) => name.startsWith('.cresus-safe-'))).toEqual([]);
  });
});
