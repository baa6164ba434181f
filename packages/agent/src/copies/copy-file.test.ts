import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chooseFile, defaultName, putInPlace } from './copy-file.ts';
import { BIG, CopyFixture, once } from './copy-fixture.ts';
import { type WriteCopyOptions, writeCopy } from './write-copy.ts';

let fixture: CopyFixture;
beforeEach(() => {
  fixture = new CopyFixture();
});
afterEach(() => fixture.remove());

const path = (...parts: string[]): string => fixture.path(...parts);
const options = (more?: Partial<WriteCopyOptions>): WriteCopyOptions => fixture.options(more);

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
    expect((await fixture.contentOf(path('stick', 'copie.pe-backup'))).size).toBe(5);
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
    const at = Date.UTC(2026, 10, 24, 13, 5);
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
