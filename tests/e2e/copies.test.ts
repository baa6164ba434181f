import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { copyTree, differences } from '../support/compare.ts';
import { lacksProgram, testWith } from '../support/faults.ts';
import { SECRET, World } from '../support/world.ts';

const PASSWORD = 'un mot de passe à part';

interface Copied {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly entries: number;
  readonly problems: readonly { readonly path: string; readonly code: string }[];
}
interface ListedCopy {
  readonly name: string;
  readonly mandate: string | null;
  readonly comment: string | null;
  readonly encrypted: boolean;
  readonly verified: boolean | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

let world: World;
let agent: Agent;
let books: string;
let asCopied: string;
let stick: string;
let snapshot: string;
beforeAll(async () => {
  world = await World.create();
  ({ first: agent, books } = await world.household());
  mkdirSync(join(books, 'vide', 'encore'), { recursive: true });
  writeFileSync(join(books, 'été & Größe.pdf'), 'x');
  asCopied = world.path('as-copied');
  copyTree(books, asCopied);
  stick = world.path('stick');
  mkdirSync(stick);
  snapshot = (await agent.send('Dupont SA')).id;
  await agent.json(['point', 'Dupont SA', '--comment', 'avant le bouclement']);
});
afterAll(() => world[Symbol.asyncDispose]());

const copy = (...args: string[]): Promise<Copied> => agent.json<Copied>(['copy', 'Dupont SA', ...args]);
const listed = async (dir: string, code = 0, ...args: string[]): Promise<readonly ListedCopy[]> =>
  (await agent.json<{ copies: readonly ListedCopy[] }>(['copies', dir, ...args], code)).copies;

/** What `unzip` of any system makes of a copy. */
function unzipped(file: string): string {
  const into = world.path(`unzipped-${readdirSync(world.dir).length}`);
  execFileSync('unzip', ['-q', file, '-d', into], { env: { ...process.env, LC_ALL: 'C.UTF-8' } });
  expect(readdirSync(into).sort()).toEqual(['files', 'manifest.json']);
  return join(into, 'files');
}

/** age asks on the terminal only: one is made for it. */
function decrypted(file: string, password: string): string {
  const into = `${file}.zip`;
  const script = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execvp('age', ['age', '-d', '-o', sys.argv[2], sys.argv[1]])
told = b''
while b'passphrase' not in told: told += os.read(terminal, 1000)
os.write(terminal, sys.argv[3].encode() + b'\\n')
try:
    while os.read(terminal, 1000): pass
except OSError: pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
  execFileSync('python3', ['-c', script, file, into, password]);
  return into;
}

describe('copies in one file', () => {
  it.each([
    ['the mandate', []],
    ['a point', ['--point', 'latest']],
    ['a snapshot', ['--snapshot', 'latest']],
  ])('of %s is the same mandate to unzip', async (what, from) => {
    const { file, entries, problems } = await copy(join(stick, what), '--comment', what, ...from);
    expect(file).toBe(join(stick, `${what}.pe-backup`));
    const manifest = JSON.parse(execFileSync('unzip', ['-p', file, 'manifest.json']).toString()) as {
      entries: unknown[];
      source: { id: string | null };
    };
    expect([manifest.entries.length, problems]).toEqual([entries, []]);
    if (what === 'a snapshot') expect(manifest.source.id).toBe(snapshot);
    const lines = differences(asCopied, unzipped(file), { times: false });
    expect(lines).toEqual([]);
  });

  it('a point gives its comment to a copy that has none of its own', async () => {
    await copy(join(stick, 'bouclement'), '--point', 'latest');
    const found = (await listed(stick)).find(({ name }) => name === 'bouclement.pe-backup');
    expect(found).toMatchObject({ comment: 'avant le bouclement', mandate: 'Dupont SA', encrypted: false });
  });

  it('needs neither a connection nor the server, except for a snapshot', async () => {
    await world.server.stop();
    await copy(join(stick, 'sans serveur'));
    await copy(join(stick, 'sans serveur, du point'), '--point', 'latest');
    const refused = await agent.refused(['copy', 'Dupont SA', join(stick, 'x'), '--snapshot', 'latest']);
    expect(refused).toMatchObject({ exitCode: 9, error: { code: 'unreachable' } });
    await world.server.start();
    const alone = world.computer({});
    await alone.json(['mandate', 'add', 'Dupont SA', '--path', books]);
    await alone.json(['copy', 'Dupont SA', join(stick, 'sans compte')]);
  });

  it('lies beside others under its default name, and replaces none unasked', async () => {
    const folder = world.path('dossier');
    mkdirSync(folder);
    const names = [await copy(folder), await copy(folder)].map(({ file }) => file);
    expect(new Set(names).size).toBe(2);
    for (const name of names) expect(name).toMatch(/\/Dupont SA \d{4}-\d\d-\d\d \d\dh\d\d( 2)?\.pe-backup$/);
    const [name = ''] = names;
    const before = readFileSync(name);
    const refused = await agent.refused(['copy', 'Dupont SA', name]);
    expect(refused).toMatchObject({ exitCode: 8, error: { code: 'acceptance-missing', hint: expect.any(String) } });
    expect(readFileSync(name).equals(before)).toBe(true);
    await copy(name, '--overwrite', '--comment', 'nouvelle');
    expect((await listed(folder)).map(({ comment }) => comment)).toEqual(['nouvelle', '']);
  });

  it('tells what it does not hold: links (exit 3)', async () => {
    symlinkSync('comptabilite.cre', join(books, 'lien'));
    const args = ['copy', 'Dupont SA', join(stick, 'avec lien')];
    const { problems } = await agent.json<Copied>(args, 3);
    rmSync(join(books, 'lien'));
    expect(problems).toEqual([{ path: 'lien', code: 'link' }]);
  });

  it('lists newest first, verified or not, and says why one cannot be used', async () => {
    const folder = world.path('liste');
    mkdirSync(folder);
    for (const name of ['un', 'deux']) await copy(join(folder, name), '--comment', name);
    writeFileSync(join(folder, 'faux.pe-backup'), 'ce n’est pas une copie, mais un texte');
    utimesSync(join(folder, 'faux.pe-backup'), 1, 1);
    writeFileSync(join(folder, 'autre.txt'), '');
    const bytes = readFileSync(join(folder, 'un.pe-backup'));
    const plain = await listed(folder);
    expect(plain.map(({ name }) => name)).toEqual(['deux.pe-backup', 'un.pe-backup', 'faux.pe-backup']);
    expect(plain.map(({ verified }) => verified)).toEqual([null, null, null]);
    writeFileSync(join(folder, 'un.pe-backup'), bytes.fill(0, 5000, 6000));
    const verified = await listed(folder, 10, '--verify');
    expect(verified.map(({ verified: is, error }) => [is, error?.code ?? null])).toEqual([
      [true, null],
      [false, 'integrity'],
      [false, 'integrity'],
    ]);
    const text = await agent.run(['copies', folder, '--lang', 'fr']);
    expect(text.stdout).toContain("Ce n'est pas une copie de sauvegarde de Crésus Safe.");
    expect(await agent.refused(['copies', join(folder, 'nulle part')])).toMatchObject({ exitCode: 14 });
  });
});

describe('encrypted copies', () => {
  const withPassword = (password: string): Agent => agent.with({ env: { CRESUS_SAFE_COPY_PASSWORD: password } });

  it('open with their password only, here', async () => {
    const folder = world.path('chiffrées');
    mkdirSync(folder);
    const made = await withPassword(PASSWORD).json<Copied>(['copy', 'Dupont SA', join(folder, 'c'), '--encrypt']);
    expect(readFileSync(made.file).includes('comptabilite')).toBe(false);
    expect(await listed(folder)).toMatchObject([{ encrypted: true, mandate: null, verified: null, error: null }]);
    const right = await withPassword(PASSWORD).json<{ copies: unknown }>(['copies', folder, '--verify']);
    expect(right.copies).toMatchObject([{ encrypted: true, mandate: 'Dupont SA', verified: true, error: null }]);
    const wrong = await withPassword('un autre mot de passe').json<{ copies: unknown }>(['copies', folder]);
    expect(wrong.copies).toMatchObject([{ encrypted: true, mandate: null, error: { code: 'wrong-secret' } }]);
  });

  it('are not made with a short password, with the secret key, or with none', async () => {
    const args = ['copy', 'Dupont SA', join(stick, 'chiffrée'), '--encrypt'];
    const secret = await withPassword(SECRET).refused(args);
    expect(secret).toMatchObject({ exitCode: 2, error: { code: 'usage' } });
    expect(secret.error.message).toContain('différent de la clé secrète');
    expect(await withPassword('court').refused(args)).toMatchObject({ exitCode: 2, error: { code: 'short-secret' } });
    expect(await agent.refused(args)).toMatchObject({ exitCode: 2, error: { code: 'usage' } });
    expect(readdirSync(stick)).not.toContain('chiffrée.pe-backup');
  });

  testWith(lacksProgram('age') ?? lacksProgram('python3'))('open with age -d', async () => {
    const { file } = await withPassword(PASSWORD).json<Copied>(['copy', 'Dupont SA', join(stick, 'age'), '--encrypt']);
    expect(differences(asCopied, unzipped(decrypted(file, PASSWORD)), { times: false })).toEqual([]);
  });
});

describe('foreign tools', () => {
  const made = async (): Promise<string> => (await copy(join(stick, 'outils'), '--overwrite')).file;

  testWith(lacksProgram('unzip', ['-v']))('unzip -t finds nothing wrong', async () => {
    expect(spawnSync('unzip', ['-tq', await made()]).stdout.toString()).toContain('No errors detected');
  });

  testWith(lacksProgram('7z', ['i']))('7z t finds nothing wrong, nor anything to warn of', async () => {
    const { stdout, status } = spawnSync('7z', ['t', await made()]);
    expect([status, stdout.toString()]).toEqual([0, expect.stringContaining('Everything is Ok')]);
    expect(stdout.toString()).not.toMatch(/warning/i);
  });

  testWith(lacksProgram('python3'))('Python’s zipfile reads every entry and the names', async () => {
    const script = `
import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
assert 'files/été & Größe.pdf' in z.namelist() and 'files/vide/encore/' in z.namelist()`;
    execFileSync('python3', ['-c', script, await made()], { env: { ...process.env, PYTHONUTF8: '1' } });
  });

  testWith(lacksProgram('zip', ['-v']))(
    'a copy zipped again by hand opens: other order, other compression',
    async () => {
      const from = join(unzipped(await made()), '..');
      const folder = world.path('refaites');
      mkdirSync(folder);
      const zip = (...args: string[]): void => {
        execFileSync('zip', ['-q', ...args], { cwd: from, env: { ...process.env, LC_ALL: 'C.UTF-8' } });
      };
      zip('-r', '-9', join(folder, 'neuf.pe-backup'), 'manifest.json', 'files');
      zip('-r', '-0', '-D', join(folder, 'stocké.pe-backup'), 'files', 'manifest.json');
      expect(await listed(folder, 0, '--verify')).toMatchObject([{ verified: true }, { verified: true }]);
    },
  );
});
