import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chooseFile, defaultName, putInPlace } from './copy-file.ts';
import { MandateSource } from './mandate-source.ts';
import type { TreeFile } from './manifest.ts';
import { openCopy } from './open-copy.ts';
import { type CopyProgress, type WriteCopyOptions, writeCopy } from './write-copy.ts';

const BIG = 3_000_000;
const MANDATE = '0f'.repeat(16);

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'safe-copy-'));
  mkdirSync(path('books', 'Documents', 'vide'), { recursive: true });
  mkdirSync(path('stick'));
  writeFileSync(path('books', 'compta.cre'), randomBytes(BIG));
  writeFileSync(path('books', 'Documents', 'facture é.pdf'), randomBytes(40_000));
  writeFileSync(path('books', 'Documents', 'note.txt'), 'bonjour\n');
  writeFileSync(path('books', 'Documents', 'rien'), '');
  writeFileSync(path('books', 'manifest.json'), 'le mien');
  chmodSync(path('books', 'Documents', 'note.txt'), 0o440);
  utimesSync(path('books', 'Documents', 'note.txt'), 1_600_000_000.25, 1_600_000_000.25);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const path = (...parts: string[]): string => join(dir, ...parts);

function source(): MandateSource {
  const modules = [{ kind: 'accounting' as const, file: 'compta.cre' }];
  const mandate = { name: 'Boulangerie', mandateId: MANDATE, path: path('books'), modules };
  return new MandateSource({ mandate, now: () => 1_700_000_000_000 });
}

function options(more: Partial<WriteCopyOptions> = {}): WriteCopyOptions {
  const file = path('stick', 'copie');
  return { source: source(), file, overwrite: false, agentVersion: '1.2.3', now: Date.now, ...more };
}

/** Calls `act` at the first report of progress that `when` accepts. */
function once(when: (now: CopyProgress) => boolean, act: () => void): (now: CopyProgress) => void {
  let done = false;
  return (now) => {
    if (done || !when(now)) return;
    done = true;
    act();
  };
}

async function contentOf(file: string, password?: string): Promise<Map<string, Buffer>> {
  const copy = await openCopy(file, { password });
  const into = mkdtempSync(path('out-'));
  const content = new Map<string, Buffer>();
  for (const node of copy.nodes) {
    if (node.type !== 'file') continue;
    const target = join(into, createHash('sha256').update(node.path).digest('hex'));
    await copy.extract(node, target);
    content.set(node.path, readFileSync(target));
  }
  await copy.close();
  return content;
}

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
    for (const [name, content] of await contentOf(written.file)) expect(content.equals(bookOf(name))).toBe(true);
    expect(readdirSync(path('stick'))).toEqual(['copie.pe-backup']);
  });

  it('opens under its password only, and can be written into an open file', async () => {
    const { file } = await writeCopy(options({ password: 'un mot de passe', workFactor: 10 }));
    expect((await contentOf(file, 'un mot de passe')).get('compta.cre')?.equals(bookOf('compta.cre'))).toBe(true);
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
    const content = await contentOf(written.file);
    expect(content.get('Documents/gros.pdf')?.equals(bookOf('Documents/gros.pdf'))).toBe(true);
  });

  it('F-27 one that never holds still is a problem of the copy, which has everything else', async () => {
    writeFileSync(path('books', 'Documents', 'gros.pdf'), randomBytes(BIG));
    const onProgress = (): void => appendFileSync(path('books', 'Documents', 'gros.pdf'), 'x');
    const written = await writeCopy(options({ onProgress }));
    expect(written.problems).toEqual([{ path: 'Documents/gros.pdf', code: 'changed' }]);
    expect([...(await contentOf(written.file)).keys()]).toHaveLength(5);
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
    const content = await contentOf(written.file);
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
    expect((await contentOf(written.file)).get('Documents/gros.pdf')?.length).toBe(1000);
    expect(written.files + written.problems.length).toBeGreaterThanOrEqual(5);
  });
});

describe('F-19 the file of a copy', () => {
  it('F-19 is never replaced without being asked, not even one that turns up meanwhile', async () => {
    writeFileSync(path('stick', 'copie.pe-backup'), 'la mienne');
    await expect(writeCopy(options())).rejects.toMatchObject({ kind: 'acceptance-missing', exitCode: 8 });
    const late = path('stick', 'tard.pe-backup');
    const act = (): void => writeFileSync(late, 'la mienne');
    const refused = writeCopy(options({ file: late, onProgress: once(({ phase }) => phase === 'verify', act) }));
    await expect(refused).rejects.toMatchObject({ kind: 'acceptance-missing' });
    expect(readFileSync(late, 'utf8')).toBe('la mienne');
    expect(readFileSync(path('stick', 'copie.pe-backup'), 'utf8')).toBe('la mienne');
    expect(readdirSync(path('stick'))).toHaveLength(2);
  });

  it('F-19 keeps what it replaces until the new one is verified', async () => {
    writeFileSync(path('stick', 'copie.pe-backup'), 'ancienne');
    const spoil = (): void => {
      const temporary = readdirSync(path('stick')).find((name) => name.endsWith('.tmp')) ?? '';
      const bytes = readFileSync(path('stick', temporary));
      writeFileSync(path('stick', temporary), bytes.fill(0, 200, BIG));
    };
    const onProgress = once(({ phase }) => phase === 'verify', spoil);
    await expect(writeCopy(options({ overwrite: true, onProgress }))).rejects.toMatchObject({ kind: 'integrity' });
    expect(readFileSync(path('stick', 'copie.pe-backup'), 'utf8')).toBe('ancienne');
    expect(readdirSync(path('stick'))).toEqual(['copie.pe-backup']);
    await writeCopy(options({ overwrite: true }));
    expect((await contentOf(path('stick', 'copie.pe-backup'))).size).toBe(5);
  });

  it('F-19 sweeps the unfinished copies of writers that are gone, and no others', async () => {
    const mark = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
    const end = 'aaaaaaaaaaaa.tmp';
    const stays = [`.cresus-safe-copy-${mark}-${process.ppid}-${end}`, `.cresus-safe-copy-00000000-1-${end}`];
    const goes = [`.cresus-safe-copy-${mark}-4194304-${end}`, `.cresus-safe-copy-00000000-2-${end}`];
    for (const name of [...stays, ...goes, '.cresus-safe-copy-autre.tmp']) writeFileSync(path('stick', name), '');
    utimesSync(path('stick', goes[1] ?? ''), 1, 1);
    await writeCopy(options());
    expect(readdirSync(path('stick')).sort()).toEqual(
      ['.cresus-safe-copy-autre.tmp', ...stays, 'copie.pe-backup'].sort(),
    );
  });

  it('F-19 finds its place on a disk without hard links too, and replaces nothing there either', () => {
    const onFat = (): never => {
      throw Object.assign(new Error('EPERM'), { code: 'EPERM' });
    };
    for (const name of ['a.tmp', 'b.tmp']) writeFileSync(path('stick', name), name);
    putInPlace(path('stick', 'a.tmp'), path('stick', 'copie'), false, onFat);
    const again = (): void => putInPlace(path('stick', 'b.tmp'), path('stick', 'copie'), false, onFat);
    expect(again).toThrow(expect.objectContaining({ kind: 'acceptance-missing' }));
    expect(readFileSync(path('stick', 'copie'), 'utf8')).toBe('a.tmp');
    putInPlace(path('stick', 'b.tmp'), path('stick', 'copie'), true, onFat);
    expect([readFileSync(path('stick', 'copie'), 'utf8'), readdirSync(path('stick'))]).toEqual(['b.tmp', ['copie']]);
  });

  it('an interruption leaves nothing, in either phase', async () => {
    for (const phase of ['write', 'verify']) {
      const stop = new AbortController();
      const onProgress = once(
        (now) => now.phase === phase,
        () => stop.abort(),
      );
      const stopped = writeCopy(options({ signal: stop.signal, onProgress }));
      await expect(stopped).rejects.toMatchObject({ kind: 'interrupted' });
      expect(readdirSync(path('stick'))).toEqual([]);
    }
  });

  it('does not lie in the mandate, nor in a folder that is not there', async () => {
    const inside = writeCopy(options({ file: path('books', 'Documents', 'x') }));
    await expect(inside).rejects.toMatchObject({ kind: 'usage', key: 'error.copy-inside' });
    symlinkSync(path('books'), path('way'));
    await expect(writeCopy(options({ file: path('way', 'x') }))).rejects.toMatchObject({ key: 'error.copy-inside' });
    await expect(writeCopy(options({ file: path('nulle', 'part') }))).rejects.toMatchObject({ kind: 'path-missing' });
    await expect(writeCopy(options({ file: `${path('nulle')}/` }))).rejects.toMatchObject({ kind: 'path-missing' });
    expect(existsSync(path('nulle'))).toBe(false);
  });

  it('has a name that every disk takes; several lie side by side', async () => {
    const at = new Date(2026, 10, 24, 14, 5).getTime();
    expect(defaultName('Dupont SA', at)).toBe('Dupont SA 2026-11-24 14h05');
    expect(defaultName('a/b:c?', at)).toBe('a_b_c_ 2026-11-24 14h05');
    expect(defaultName('CON', at)).toBe('_CON 2026-11-24 14h05');
    expect(defaultName('.caché\u202e', at)).toBe('_caché_ 2026-11-24 14h05');
    const first = chooseFile(path('stick'), 'Dupont SA', at);
    expect(first).toBe(path('stick', 'Dupont SA 2026-11-24 14h05.pe-backup'));
    writeFileSync(first, '');
    expect(chooseFile(path('stick'), 'Dupont SA', at)).toBe(path('stick', 'Dupont SA 2026-11-24 14h05 2.pe-backup'));
    expect(chooseFile(path('stick', 'a.b'), 'x', at)).toBe(path('stick', 'a.b.pe-backup'));
    expect(chooseFile(path('stick', 'A.PE-BACKUP'), 'x', at)).toBe(path('stick', 'A.PE-BACKUP'));
  });
});
