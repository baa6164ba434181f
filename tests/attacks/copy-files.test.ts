import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { AgentError, openCopy } from '@cresus-safe/agent';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ManifestFile, manifestOf, type RawEntry, rawCopy } from '../support/hostile-copy.ts';

const FILES: readonly ManifestFile[] = [
  { path: 'compta.cre', content: 'les comptes' },
  { path: 'lettre.pdf', content: 'une lettre' },
];
const BIG = Buffer.alloc(3_000_000);

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'safe-copies-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Opens a copy as a restore does, reads it through, and says how it is refused. */
async function refusal(bytes: Buffer): Promise<{ kind: string; defect: unknown; key: string } | 'opens'> {
  const file = join(dir, 'copie.pe-backup');
  writeFileSync(file, bytes);
  try {
    const copy = await openCopy(file);
    try {
      await copy.verify();
      return 'opens';
    } finally {
      await copy.close();
    }
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { kind: error.kind, defect: error.details['defect'], key: error.key };
  } finally {
    expect(readdirSync(dir)).toEqual(['copie.pe-backup']);
  }
}

/** Replaces the entry of the first file. */
function first(change: Partial<RawEntry>): (entries: RawEntry[]) => RawEntry[] {
  return ([entry, ...rest]) => [{ ...(entry as RawEntry), ...change }, ...rest];
}

function more(entry: RawEntry): (entries: RawEntry[]) => RawEntry[] {
  return (entries) => [...entries, entry];
}

const withPath = (path: string): Buffer => rawCopy([{ path, content: 'x' }]);
const asEntry = (fields: Record<string, unknown>): Buffer => {
  const manifest = JSON.parse(String(manifestOf(FILES))) as { entries: Record<string, unknown>[] };
  manifest.entries[0] = { ...manifest.entries[0], ...fields };
  return rawCopy(FILES, { manifest: Buffer.from(JSON.stringify(manifest)) });
};

describe('copies that somebody else made', () => {
  it('an honest one opens, in any order, stored or deflated, with folders or without, ASCII names without the UTF-8 flag', async () => {
    expect(await refusal(rawCopy(FILES))).toBe('opens');
    const again = (entries: RawEntry[]): RawEntry[] => [
      { name: 'files/', method: 0, mode: 0o040755 },
      ...entries.toReversed().map((entry) => ({ ...entry, method: 0, flags: 0 })),
    ];
    expect(await refusal(rawCopy(FILES, { entries: again }))).toBe('opens');
    const odd = [{ path: 'été & Größe.pdf', content: 'x' }];
    expect(await refusal(rawCopy(odd))).toBe('opens');
  });

  it.each<[string, string, () => Buffer]>([
    ['no ZIP file', 'not-a-copy', () => Buffer.from('un fichier quelconque, assez long')],
    ['an empty file', 'not-a-copy', () => Buffer.alloc(0)],
    ['a ZIP file of something else', 'not-a-copy', () => rawCopy(FILES, { entries: (all) => all.slice(0, 2) })],
    [
      'a manifest of something else',
      'not-a-copy',
      () => rawCopy(FILES, { manifest: manifestOf(FILES, { format: 'x' }) }),
    ],
    ['an end cut off', 'truncated', () => rawCopy(FILES).subarray(0, -30)],
    ['an unknown version', 'version', () => rawCopy(FILES, { manifest: manifestOf(FILES, { version: 2 }) })],
    ['a manifest that is no JSON', 'manifest', () => rawCopy(FILES, { manifest: Buffer.from('{') })],
    ['a manifest without entries', 'manifest', () => rawCopy(FILES, { manifest: manifestOf(FILES, { entries: 3 }) })],
    [
      'totals that lie',
      'manifest',
      () => rawCopy(FILES, { manifest: manifestOf(FILES, { totals: { files: 1, bytes: 1 } }) }),
    ],
    ['a negative size', 'manifest', () => asEntry({ size: -1 })],
    ['a size of 2^63', 'manifest', () => asEntry({ size: 2 ** 63 })],
    ['set-uid in a mode', 'manifest', () => asEntry({ mode: 0o4755 })],
    ['a wrong hash in the manifest', 'hash', () => asEntry({ sha256: 'ab'.repeat(32) })],
    [
      'other content of the same size',
      'hash',
      () => rawCopy(FILES, { entries: first({ data: Buffer.from('LES COMPTES') }) }),
    ],
    ['a wrong checksum', 'hash', () => rawCopy(FILES, { entries: first({ crc: 1 }) })],
    ['broken deflate data', 'hash', () => rawCopy(FILES, { entries: first({ packed: Buffer.from([7, 7, 7]) }) })],
    [
      'another size than the manifest says',
      'size',
      () => rawCopy(FILES, { entries: first({ data: Buffer.from('x') }) }),
    ],
    [
      'an entry too many',
      'extra',
      () => rawCopy(FILES, { entries: more({ name: 'files/virus.exe', data: Buffer.from('x') }) }),
    ],
    ['an entry outside the files', 'extra', () => rawCopy(FILES, { entries: more({ name: 'readme.txt' }) })],
    ['a folder too many', 'extra', () => rawCopy(FILES, { entries: more({ name: 'files/vide/', method: 0 }) })],
    ['an entry that is missing', 'missing', () => rawCopy(FILES, { entries: (all) => all.slice(1) })],
    ['a name twice', 'duplicate', () => rawCopy(FILES, { entries: (all) => [all[0] as RawEntry, ...all] })],
    [
      'a path twice in the manifest',
      'duplicate',
      () => rawCopy(FILES, { manifest: manifestOf([...FILES, FILES[0] as ManifestFile]) }),
    ],
    ['an encrypted entry', 'entry-encrypted', () => rawCopy(FILES, { entries: first({ flags: 0x0801 }) })],
    [
      'an unknown compression',
      'method',
      () => rawCopy(FILES, { entries: first({ method: 12, packed: Buffer.alloc(9) }) }),
    ],
    ['a link in the archive', 'link', () => rawCopy(FILES, { entries: first({ mode: 0o120777 }) })],
    ['a device in the archive', 'link', () => rawCopy(FILES, { entries: first({ mode: 0o020666 }) })],
    ['a link in the manifest', 'link', () => asEntry({ type: 'link', target: '/etc/passwd' })],
    [
      'a local header with another name',
      'headers',
      () => rawCopy(FILES, { entries: first({ local: { name: 'files/compta.fac' } }) }),
    ],
    [
      'a local header with another method',
      'headers',
      () => rawCopy(FILES, { entries: first({ local: { method: 0 } }) }),
    ],
    ['a local header with another size', 'headers', () => rawCopy(FILES, { entries: first({ local: { size: 5 } }) })],
    [
      'a local header with another checksum',
      'headers',
      () => rawCopy(FILES, { entries: first({ local: { crc: 5 } }) }),
    ],
  ])('%s: %s', async (_, defect, make) => {
    expect(await refusal(make())).toEqual({ kind: 'integrity', defect, key: `error.copy-${defect}` });
  });

  it('MS-29 a bomb: what unpacks beyond the declared size ends there, small or big', async () => {
    const packed = deflateRawSync(BIG);
    expect(await refusal(rawCopy(FILES, { entries: first({ packed }) }))).toMatchObject({ defect: 'bomb' });
    const big = [{ path: 'compta.cre', content: ' '.repeat(2_000_000) }];
    expect(await refusal(rawCopy(big, { entries: first({ packed }) }))).toMatchObject({ defect: 'bomb' });
  });

  it('MS-39 entries that share their bytes are refused before anything is unpacked', async () => {
    const files = [...FILES, { path: 'z', content: 'les comptes' }];
    const overlap = (all: RawEntry[]): RawEntry[] =>
      all.map((entry) => (entry.name === 'files/z' ? { ...entry, at: 'files/compta.cre' } : entry));
    expect(await refusal(rawCopy(files, { entries: overlap }))).toMatchObject({ defect: 'overlap' });
  });

  it.each([
    ['above', '../x'],
    ['absolute', '/etc/x'],
    ['climbing out', 'a/../../x'],
    ['the folder above', '..'],
    ['the folder itself', '.'],
    ['with an empty part', 'a//b'],
    ['a share, slashes', '//srv/x'],
    ['a share', '\\\\srv\\x'],
    ['a drive', 'C:\\x'],
    ['relative to a drive', 'C:x'],
    ['a drive called 1', '1:\\x'],
    ['a drive called é', 'é:x'],
    ['with a backslash', 'a\\b'],
    ['with NUL', 'x\0y'],
    ['with a name of 10,000 characters', 'n'.repeat(10_000)],
    ['with 20,000 parts', `${'a/'.repeat(20_000)}b`],
  ])('MS-32 MS-36 a path %s is refused, in the archive and in the manifest', async (_, path) => {
    expect(await refusal(withPath(path))).toMatchObject({ kind: 'integrity', defect: 'path' });
    const manifest = manifestOf([{ path, content: 'x' }]);
    expect(await refusal(rawCopy(FILES, { manifest }))).toMatchObject({ kind: 'integrity', defect: 'path' });
  });

  it('MS-32 a file in what is no folder of the manifest is refused, and so is an empty path', async () => {
    expect(await refusal(withPath('a/b'))).toMatchObject({ defect: 'path' });
    for (const path of ['', 'a/']) expect(await refusal(asEntry({ path }))).toMatchObject({ defect: 'path' });
  });

  it('MS-35 names that only some disks tell apart are no defect: a restore gives the second one another name', async () => {
    const files = ['FOO', 'foo', 'é', 'e\u0301'].map((path) => ({ path, content: path }));
    expect(await refusal(rawCopy(files))).toBe('opens');
  });

  it('any flipped bit is found, or changes nothing that is read', async () => {
    const honest = rawCopy(FILES);
    const found = new Set<string>();
    for (let at = 0; at < honest.length; at += 3) {
      const bytes = Buffer.from(honest);
      bytes[at] = (bytes[at] as number) ^ 0x10;
      const how = await refusal(bytes);
      found.add(how === 'opens' ? how : how.kind);
    }
    expect([...found].every((how) => how === 'opens' || how === 'integrity')).toBe(true);
    expect(found.has('integrity')).toBe(true);
  });
});
