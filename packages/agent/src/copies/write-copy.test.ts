import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { BIG, CopyFixture, MANDATE, once } from './copy-fixture.ts';
import type { TreeFile } from './manifest.ts';
import { openCopy } from './open-copy.ts';
import { type WriteCopyOptions, writeCopy } from './write-copy.ts';

let fixture: CopyFixture;
beforeEach(() => {
  fixture = new CopyFixture();
});
afterEach(() => fixture.remove());

const path = (...parts: string[]): string => fixture.path(...parts);
const options = (more?: Partial<WriteCopyOptions>): WriteCopyOptions => fixture.options(more);

const bookOf = (name: string): Buffer => readFileSync(path('books', name));

describe('a copy of a mandate', () => {
  it('holds every file and folder with time and mode, the facts, and no manifest in place of the own one', async () => {
    symlinkSync('compta.cre', path('books', 'lien'));
    writeFileSync(path('books', 'a\\b'), 'x');
    const written = await writeCopy(options({ comment: 'avant bouclement' }));
    expect(written).toMatchObject({ file: path('stick', 'copie.pe-backup'), files: 5, encrypted: false });
    const bytes = readFileSync(written.file);
    expect([bytes.length, createHash('sha256').update(bytes).digest('hex')]).toEqual([written.bytes, written.sha256]);
    expect(written.problems).toEqual([
      { path: 'a\\b', code: 'name' },
      { path: 'lien', code: 'link' },
    ]);
    const copy = await openCopy(written.file);
    const { nodes, ...head } = copy.manifest;
    expect(head).toMatchObject({
      ...{ createdAt: 1_700_000_000_000, agentVersion: '1.2.3', comment: 'avant bouclement', files: 5 },
      ...{ mandate: { name: 'Boulangerie', id: MANDATE }, modules: [{ kind: 'accounting', file: 'compta.cre' }] },
      ...{ source: { kind: 'mandate' }, problems: written.problems },
    });
    expect(nodes.map((node) => node.path)).toEqual([
      'Documents',
      'Documents/facture é.pdf',
      'Documents/note.txt',
      'Documents/rien',
      'Documents/vide',
      'compta.cre',
      'manifest.json',
    ]);
    expect(nodes[2]).toMatchObject({ mode: 0o440, mtime: 1_600_000_000_250_000 });
    await copy.close();
    for (const [name, content] of await fixture.contentOf(written.file))
      expect(content.equals(bookOf(name))).toBe(true);
    expect(readdirSync(path('stick'))).toEqual(['copie.pe-backup']);
  });

  it('opens under its password only, and can be written into an open file', async () => {
    const { file } = await writeCopy(options({ password: 'un mot de passe', workFactor: 10 }));
    expect((await fixture.contentOf(file, 'un mot de passe')).get('compta.cre')?.equals(bookOf('compta.cre'))).toBe(
      true,
    );
    await expect(openCopy(file, { password: 'un autre mot' })).rejects.toMatchObject({ kind: 'wrong-secret' });
    await expect(openCopy(file)).rejects.toMatchObject({ kind: 'usage', key: 'error.copy-password-needed' });
    expect(readFileSync(file).includes('compta.cre')).toBe(false);
    const copy = await openCopy(file, { password: 'un mot de passe' });
    const target = openSync(path('out'), 'w');
    const note = copy.nodes.find((node) => node.path === 'Documents/note.txt') as TreeFile;
    await copy.extract(note, target);
    closeSync(target);
    await copy.close();
    expect(readFileSync(path('out'), 'utf8')).toBe('bonjour\n');
  });

  it('extracts over nothing that is there', async () => {
    const { file } = await writeCopy(options());
    writeFileSync(path('out'), 'là');
    const copy = await openCopy(file);
    const note = copy.nodes.find((node) => node.path === 'Documents/note.txt') as TreeFile;
    await expect(copy.extract(note, path('out'))).rejects.toMatchObject({ code: 'EEXIST' });
    await copy.close();
    expect(readFileSync(path('out'), 'utf8')).toBe('là');
  });
});

describe('F-27 files that do not hold still', () => {
  it('F-27 a big document that changes while it is read is read again', async () => {
    writeFileSync(path('books', 'Documents', 'gros.pdf'), randomBytes(BIG));
    const change = (): void => appendFileSync(path('books', 'Documents', 'gros.pdf'), 'x');
    const written = await writeCopy(options({ onProgress: once(({ bytes }) => bytes > 500_000, change) }));
    expect(written.problems).toEqual([]);
    const content = await fixture.contentOf(written.file);
    expect(content.get('Documents/gros.pdf')?.equals(bookOf('Documents/gros.pdf'))).toBe(true);
  });

  it('F-27 one that never holds still is a problem of the copy, which has everything else', async () => {
    writeFileSync(path('books', 'Documents', 'gros.pdf'), randomBytes(BIG));
    const onProgress = (): void => appendFileSync(path('books', 'Documents', 'gros.pdf'), 'x');
    const written = await writeCopy(options({ onProgress }));
    expect(written.problems).toEqual([{ path: 'Documents/gros.pdf', code: 'changed' }]);
    expect([...(await fixture.contentOf(written.file)).keys()]).toHaveLength(5);
  });

  it('F-27 a module that never holds still refuses the copy, and nothing is left', async () => {
    const onProgress = (): void => appendFileSync(path('books', 'compta.cre'), 'x');
    await expect(writeCopy(options({ onProgress }))).rejects.toMatchObject({
      kind: 'mandate-unstable',
      details: { file: 'compta.cre' },
    });
    expect(readdirSync(path('stick'))).toEqual([]);
  });

  it('F-27 a journal that turns up belongs to the books: the copy has both as they are together', async () => {
    const work = (): void => {
      writeFileSync(path('books', 'compta.cre-journal'), 'pages');
      appendFileSync(path('books', 'compta.cre'), 'x');
    };
    const written = await writeCopy(options({ onProgress: once(({ bytes }) => bytes > 1_000_000, work) }));
    const content = await fixture.contentOf(written.file);
    expect(String(content.get('compta.cre-journal'))).toBe('pages');
    expect(content.get('compta.cre')?.length).toBe(BIG + 1);
  });

  it('F-27 a document that is gone is a problem, a shrinking one is read again', async () => {
    writeFileSync(path('books', 'Documents', 'gros.pdf'), randomBytes(BIG));
    const act = (): void => {
      rmSync(path('books', 'manifest.json'));
      truncateSync(path('books', 'Documents', 'gros.pdf'), 1000);
    };
    const written = await writeCopy(options({ onProgress: once(() => true, act) }));
    expect((await fixture.contentOf(written.file)).get('Documents/gros.pdf')?.length).toBe(1000);
    expect(written.files + written.problems.length).toBeGreaterThanOrEqual(5);
  });
});
