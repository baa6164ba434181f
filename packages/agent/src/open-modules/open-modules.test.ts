import type { ChildProcess } from 'node:child_process';
import { closeSync, linkSync, mkdirSync, openSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Mandate } from '../mandate/mandates.ts';
import { loadTexts } from '../render/i18n.ts';
import { explain } from '../render/output.ts';
import { FakeProbe } from './fake-probe.ts';
import { endProgram, OpenFixture } from './open-fixture.ts';
import { findOpenIn, findOpenModules, moduleOpen, requireClosed } from './open-modules.ts';
import type { Holder } from './probe.ts';

let fixture: OpenFixture;
let mandate: Mandate;
let root: string;
beforeEach(() => {
  fixture = new OpenFixture();
  ({ mandate, root } = fixture);
});
afterEach(() => fixture[Symbol.asyncDispose]());

const book = (file: string): string => fixture.book(file);
const program = (script: string): ReturnType<OpenFixture['program']> => fixture.program(script);

describe('real processes', () => {
  it('names module, program and pid while a program has it open, and nothing once that ended', async () => {
    expect(await findOpenModules(mandate)).toMatchObject({ open: [], stale: [], unclean: [] });
    const child = await program('exec 3<> b.salx');
    const { open } = await findOpenModules(mandate);
    expect(open).toEqual([{ kind: 'payroll', file: 'b.salx', program: 'sh', pid: child.pid, how: 'process' }]);
    await endProgram(child);
    expect((await findOpenModules(mandate)).open).toEqual([]);
  });

  it('tells of a lock on an open file only who has it, not who took it and is gone', async () => {
    const child = await program('exec 3<> a.cre; flock 3');
    expect((await findOpenModules(mandate)).open).toMatchObject([{ file: 'a.cre', how: 'process', pid: child.pid }]);
  });

  it('counts a reader, a journal, and the file that lost its name to another', async () => {
    await program('exec 3< a.cre');
    writeFileSync(book('b.salx-journal'), '');
    await program('exec 3< b.salx-journal');
    expect((await findOpenModules(mandate)).open.map(({ file }) => file).sort()).toEqual(['a.cre', 'b.salx']);
    writeFileSync(book('new'), 'saved anew');
    renameSync(book('new'), book('a.cre'));
    expect((await findOpenModules(mandate)).open.map(({ file }) => file).sort()).toEqual(['a.cre', 'b.salx']);
  });

  it('knows a file by its inode where the path differs: a hard link, a folder reached through a link', async () => {
    linkSync(book('a.cre'), join(root, 'other name'));
    await program('exec 3<> "../other name"');
    symlinkSync(mandate.path, join(root, 'link'));
    const { open } = await findOpenModules({ ...mandate, path: join(root, 'link') });
    expect(open).toMatchObject([{ file: 'a.cre', how: 'process' }]);
  });

  it('never counts our own process, nor a file of the same name elsewhere', async () => {
    const file = openSync(book('a.cre'), 'r+');
    mkdirSync(book('old'));
    writeFileSync(book('old/a.cre'), 'older books');
    await program('exec 3<> old/a.cre');
    try {
      expect((await findOpenModules(mandate)).open).toEqual([]);
    } finally {
      closeSync(file);
    }
  });

  it('finds a SQLite file that was not closed cleanly, and none that was', async () => {
    const writer = (mode: string, last: string): Promise<ChildProcess> =>
      program(
        `exec "${process.execPath}" -e '
          const { DatabaseSync } = require("node:sqlite");
          const db = new DatabaseSync("a.cre");
          db.exec("pragma journal_mode = ${mode}; create table if not exists t(x); insert into t values (1)");
          ${last}; console.log("ready"); setInterval(() => undefined, 1000)'`,
      );
    rmSync(book('a.cre'));
    const killed = await writer('wal', '');
    expect(await findOpenModules(mandate)).toMatchObject({ open: [{ file: 'a.cre' }], unclean: [] });
    await endProgram(killed);
    expect(await findOpenModules(mandate)).toMatchObject({ open: [], unclean: ['a.cre-wal'] });
    await endProgram(await writer('delete', 'db.close()'));
    expect(await findOpenModules(mandate)).toMatchObject({ unclean: [] });
    await endProgram(await writer('persist', 'db.close()')); // leaves a journal whose header is zero
    expect(await findOpenModules(mandate)).toMatchObject({ unclean: [] });
    writeFileSync(book('a.cre-journal'), 'a header that is not zero');
    expect(await findOpenModules(mandate)).toMatchObject({ open: [], unclean: ['a.cre-journal'] });
  });

  it('looks at the processes once for many mandates, and copes with a folder that is away', async () => {
    await program('exec 3<> a.cre');
    const away = { ...mandate, path: join(root, 'unplugged') };
    const [none, here] = await findOpenIn([away, mandate]);
    expect(none).toMatchObject({ open: [], stale: [], unclean: [] });
    expect(here).toMatchObject({ open: [{ file: 'a.cre' }] });
  });
});

describe('requireClosed', () => {
  const held = (file: string, pid = 4711): Holder => ({ path: book(file), how: 'process', pid, program: 'Cresus.exe' });

  it.each([
    ['fr', 'Un module de « Dupont SA » est ouvert : Comptabilité (a.cre, Cresus.exe, pid 4711).'],
    ['de', 'Ein Modul von «Dupont SA» ist geöffnet: Buchhaltung (a.cre, Cresus.exe, pid 4711).'],
    ['it', 'Un modulo di «Dupont SA» è aperto: Contabilità (a.cre, Cresus.exe, pid 4711).'],
    ['en', 'A module of “Dupont SA” is open: Accounting (a.cre, Cresus.exe, pid 4711).'],
  ] as const)('refuses in %s, with the module’s name, and a way out', async (language, message) => {
    const probe = new FakeProbe();
    probe.answers = [[held('a.cre')], [held('a.cre')], [held('a.cre')]];
    const error = await requireClosed(mandate, () => undefined, probe).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      kind: 'module-open',
      exitCode: 7,
      details: { modules: [{ file: 'a.cre', pid: 4711 }] },
    });
    const told = explain(error as ReturnType<typeof moduleOpen>, await loadTexts(language));
    expect(told).toEqual({ message, hint: expect.stringMatching(/./) });
  });

  it('names every module up to three, and says how many more', async () => {
    const texts = await loadTexts('fr');
    const four = ['a.cre', 'b.salx', 'c.fac', 'd.sal'].map(
      (file) => ({ kind: 'payroll', file, how: 'process' }) as const,
    );
    const text = (count: number): string => explain(moduleOpen(mandate, four.slice(0, count)), texts).message;
    expect(text(2)).toContain('Salaires (a.cre) · Salaires (b.salx).');
    expect(text(3)).toContain('Salaires (c.fac).');
    expect(text(4)).toContain('Salaires (c.fac) · encore 1.');
  });

  it('the way out of a lock file that may be forgotten is to delete it', async () => {
    writeFileSync(book('a.cre.lock'), '');
    const error = await requireClosed(mandate, () => undefined, new FakeProbe()).catch((thrown: unknown) => thrown);
    const { hint } = explain(error as ReturnType<typeof moduleOpen>, await loadTexts('fr'));
    expect(hint).toContain('supprimez a.cre.lock');
  });

  it('is not held up by who looks into a file for an instant, as virus scanners do', async () => {
    const probe = new FakeProbe();
    probe.answers = [[held('a.cre')], []];
    await requireClosed(mandate, () => undefined, probe);
    expect(probe.answers).toEqual([]);
  });

  it('warns of what does not block', async () => {
    writeFileSync(book('a.cre.lock'), '4711');
    writeFileSync(book('b.salx-wal'), 'pages');
    const warnings: unknown[] = [];
    await requireClosed(mandate, (warning) => warnings.push(warning), new FakeProbe());
    expect(warnings).toEqual([
      { code: 'stale-lock', params: { mandate: 'Dupont SA', file: 'a.cre.lock' } },
      { code: 'unclean-journal', params: { mandate: 'Dupont SA', file: 'b.salx-wal' } },
    ]);
  });
});
