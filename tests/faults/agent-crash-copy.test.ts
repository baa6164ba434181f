import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCopy } from '@cresus-safe/agent';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import {
  faultEnv,
  faultsMet,
  lacksFaults,
  lacksProgram,
  lacksSmallDisk,
  SmallDisk,
  testWith,
} from '../support/faults.ts';
import { noise } from '../support/noise.ts';

const BOOKS_BYTES = 3_000_000;

let dir: string;
let agent: Agent;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cresus-safe-copies-'));
  agent = new Agent(join(dir, 'poste', 'cresus-safe'));
  mkdirSync(join(dir, 'books'));
  writeFileSync(join(dir, 'books', 'comptabilite.cre'), noise('books', BOOKS_BYTES));
  for (const name of ['a.pdf', 'b.pdf']) writeFileSync(join(dir, 'books', name), noise(name, 50_000));
  await agent.json(['mandate', 'add', 'Dupont SA', '--path', join(dir, 'books')]);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function folder(name: string): string {
  const path = join(dir, name);
  mkdirSync(path, { recursive: true });
  return path;
}

const unfinished = (path: string): string[] => readdirSync(path).filter((name) => name.endsWith('.tmp'));

/** The comment of a copy that is sound in every byte. */
async function soundComment(file: string): Promise<string> {
  const copy = await openCopy(file);
  try {
    await copy.verify();
    return copy.manifest.comment;
  } finally {
    await copy.close();
  }
}

const POINTS = [
  ['copy-open', 1],
  ['copy-entry', 3],
  ['copy-written', 1],
  ['copy-verified', 1],
  ['copy-renamed', 1],
] as const;

describe('F-19 a copy that is killed while it is written', () => {
  it.each([...POINTS, ['copy-linked', 1] as const])(
    'F-19 at %s (%i times): under the final name is nothing, or the whole copy; the next one sweeps',
    async (point, times) => {
      const into = folder(`neuf-${point}`);
      const file = join(into, 'copie.pe-backup');
      let kills = 0;
      for (let n = 1; ; n += 1) {
        rmSync(file, { force: true });
        const died = await agent.dies(point, n, ['copy', 'Dupont SA', file, '--comment', `${n}`]);
        const isThere = readdirSync(into).includes('copie.pe-backup');
        if (isThere) expect(await soundComment(file)).toBe(`${n}`);
        expect(unfinished(into).length).toBeLessThanOrEqual(died ? 1 : 0);
        if (!died) break;
        kills += 1;
        expect(isThere).toBe(point === 'copy-renamed' || point === 'copy-linked');
      }
      expect(kills).toBe(times);
    },
  );

  it.each(POINTS)('F-19 at %s (%i times) with --overwrite: the old copy or the new one', async (point, times) => {
    const into = folder(`dessus-${point}`);
    const file = join(into, 'copie.pe-backup');
    await agent.json(['copy', 'Dupont SA', file, '--comment', 'ancienne']);
    const old = readFileSync(file);
    for (let n = 1; n <= times; n += 1) {
      expect(await agent.dies(point, n, ['copy', 'Dupont SA', file, '--overwrite', '--comment', 'neuve'])).toBe(true);
      if (point === 'copy-renamed') expect(await soundComment(file)).toBe('neuve');
      else expect(readFileSync(file).equals(old)).toBe(true);
    }
    await agent.json(['copy', 'Dupont SA', file, '--overwrite', '--comment', 'fin']);
    expect([await soundComment(file), readdirSync(into)]).toEqual(['fin', ['copie.pe-backup']]);
  });
});

describe('F-25 a disk that takes no copy', () => {
  const lacks = lacksSmallDisk();

  testWith(lacks)('F-25 too small: said before anything is written; the copy that is there stays', async () => {
    await using disk = await SmallDisk.over(join(dir, 'petit'), '5m');
    const wrapped = agent.with({ wrap: disk.wrap });
    const file = join(disk.dir, 'copie.pe-backup');
    await wrapped.json(['copy', 'Dupont SA', file]);
    const refused = await wrapped.refused(['copy', 'Dupont SA', file, '--overwrite']);
    expect(refused).toMatchObject({ exitCode: 15, error: { code: 'disk-full' } });
    expect(refused.error.details).toMatchObject({ freeBytes: expect.any(Number), neededBytes: expect.any(Number) });
    expect(readdirSync(disk.outside)).toEqual(['copie.pe-backup']);
    expect(await soundComment(join(disk.outside, 'copie.pe-backup'))).toBe('');
  });

  testWith(lacks)('F-25 full in the middle, although it looked big enough: nothing is left', async () => {
    await using disk = await SmallDisk.over(join(dir, 'trompeur'), '2m');
    // the sample from the middle promises that it shrinks to nothing
    const bytes = noise('trompeur', BOOKS_BYTES).fill(0, BOOKS_BYTES / 2 - 50_000, BOOKS_BYTES / 2 + 50_000);
    const books = folder('trompeur-books');
    writeFileSync(join(books, 'comptabilite.cre'), bytes);
    await agent.json(['mandate', 'add', 'Trompeur', '--path', books]);
    const refused = await agent.with({ wrap: disk.wrap }).refused(['copy', 'Trompeur', disk.dir]);
    expect(refused).toMatchObject({ exitCode: 15, error: { code: 'disk-full' } });
    expect(readdirSync(disk.outside)).toEqual([]);
  });

  testWith(lacks)('F-25 read-only: exit 15, and says so', async () => {
    await using disk = await SmallDisk.over(join(dir, 'protégé'), '8m');
    disk.setReadOnly(true);
    const refused = await agent.with({ wrap: disk.wrap }).refused(['copy', 'Dupont SA', disk.dir]);
    expect(refused).toMatchObject({ exitCode: 15, error: { code: 'read-only' } });
  });

  testWith(lacksFaults())('F-25 any write, sync or rename that fails: exit 15, nothing is left', async () => {
    for (const calls of [['write'], ['sync'], ['rename']] as const) {
      const into = folder(`raté-${calls[0]}`);
      const log = join(dir, `fault-${calls[0]}`);
      const file = join(into, 'c.pe-backup');
      const finished = await agent.run(['copy', 'Dupont SA', file, '--overwrite', '--json'], {
        env: faultEnv({ below: into, calls, log }),
      });
      expect(faultsMet(log).length).toBeGreaterThan(0);
      expect(finished.code).toBe(15);
      expect(readdirSync(into)).toEqual([]);
    }
  });

  testWith(lacksProgram('sh', ['-c', 'true']))(
    'F-25 a file system that ends at a size (FAT32) is called that',
    async () => {
      const into = folder('fat32');
      // 1 MiB for any file; without the signal, a write beyond it fails with EFBIG
      const wrap = ['sh', '-c', 'trap "" XFSZ; ulimit -f 2048; exec "$@"', 'sh'];
      const refused = await agent.with({ wrap }).refused(['copy', 'Dupont SA', into]);
      expect(refused).toMatchObject({
        exitCode: 15,
        error: { code: 'disk-full', details: { reason: 'file-too-big' } },
      });
      expect(refused.error.hint).toContain('exFAT');
      expect(readdirSync(into)).toEqual([]);
    },
  );
});
