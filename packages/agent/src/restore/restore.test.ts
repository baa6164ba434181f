import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SnapshotId } from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { backup } from '../backup/backup.ts';
import { AgentError } from '../errors.ts';
import { MemoryServer } from '../vault/memory-remote.ts';
import type { Vault } from '../vault/vault.ts';
import { Computer, MANDATE } from '../vault/vault-fixture.ts';
import type { RestoreOptions, RestoreResult } from './options.ts';
import { restore, restoreExitCode } from './restore.ts';
import { openStaging, requireSpace } from './staging.ts';
import { vaultSource } from './vault-source.ts';

jest.setTimeout(60_000);

let folder: string;
let server: MemoryServer;
let computer: Computer;
let vault: Vault;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'safe-restore-'));
  server = new MemoryServer();
  computer = new Computer(server);
  vault = await computer.create();
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  computer.remove();
});

const path = (...parts: string[]): string => join(folder, ...parts);

/** A small business: a module, documents, what is empty, nested, linked, odd or read-only. */
function makeMandate(): string {
  const root = path('Boulangerie');
  mkdirSync(join(root, 'Documents', 'vide'), { recursive: true });
  writeFileSync(join(root, 'compta.cre'), randomBytes(3_000_000));
  writeFileSync(join(root, 'Documents', 'facture é.pdf'), randomBytes(40_000));
  writeFileSync(join(root, 'Documents', 'note.txt'), 'bonjour\n');
  writeFileSync(join(root, 'Documents', 'rien'), '');
  writeFileSync(join(root, `${'n'.repeat(250)}.txt`), 'long');
  symlinkSync('compta.cre', join(root, 'lien'));
  symlinkSync('/etc/passwd', join(root, 'dehors'));
  chmodSync(join(root, 'Documents', 'note.txt'), 0o440);
  utimesSync(join(root, 'Documents', 'note.txt'), 1_600_000_000.25, 1_600_000_000.25);
  return root;
}

async function send(root: string): Promise<SnapshotId> {
  const modules = [{ kind: 'accounting' as const, file: 'compta.cre' }];
  const mandate = { name: 'Boulangerie', mandateId: MANDATE, path: root, modules };
  return (await backup({ vault, mandate, deviceName: 'poste', agentVersion: '0' })).id;
}

/** Restores a snapshot, to a new folder unless told otherwise. */
async function run(
  snapshot: SnapshotId,
  more: Partial<RestoreOptions> & { vault?: Vault } = {},
): Promise<RestoreResult> {
  const { vault: from = vault, ...others } = more;
  const source = await vaultSource({ vault: from, snapshot, kind: 'snapshot', signal: more.signal });
  const target = path('restitué');
  return restore({ source, target, mode: 'to', intents: path('swaps'), replacedWord: 'remplacé', ...others });
}

/** Every path of a tree with what it is and holds. */
function treeOf(root: string): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const name of readdirSync(root, { recursive: true }).map(String).sort()) {
    const stats = lstatSync(join(root, name));
    const content = stats.isSymbolicLink()
      ? `-> ${readlinkSync(join(root, name))}`
      : stats.isFile()
        ? readFileSync(join(root, name)).toString('base64')
        : '';
    tree[name] = `${(stats.mode & 0o777).toString(8)} ${Math.floor(stats.mtimeMs)} ${content}`;
  }
  return tree;
}

async function failure(promise: Promise<unknown>): Promise<AgentError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AgentError);
  return error as AgentError;
}

/** Nothing of a restore is left beside the target. */
function leftovers(): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('.cresus-safe'));
}

describe('restore', () => {
  test('what was sent comes back byte for byte, with modes, times and links', async () => {
    const root = makeMandate();
    const result = await run(await send(root));
    const expected = treeOf(root);
    delete expected['dehors'];
    expect(treeOf(result.target)).toEqual(expected);
    expect(result).toMatchObject({
      files: 5,
      folders: 2,
      links: 1,
      verified: true,
      safetyPoint: null,
      replacedKept: null,
    });
    expect(result.changes).toEqual({ added: 6, changed: 0, removed: 0 });
    expect(result.problems).toEqual([{ path: 'dehors', code: 'link-leaves' }]);
    expect(restoreExitCode(result)).toBe(3);
    expect(result.downloadedBytes).toBe([...server.packs.values()].reduce((sum, pack) => sum + pack.length, 0));
    expect(leftovers()).toEqual([]);
  });

  test('several days: each restores as it was, every pack is fetched once', async () => {
    const root = makeMandate();
    const first = await send(root);
    const before = treeOf(root);
    const books = readFileSync(join(root, 'compta.cre'));
    randomBytes(9000).copy(books, 1_500_000);
    writeFileSync(join(root, 'compta.cre'), books);
    writeFileSync(join(root, 'neuf.pdf'), randomBytes(20_000));
    const second = await send(root);
    delete before['dehors'];
    expect(treeOf((await run(first)).target)).toEqual(before);
    server.calls.length = 0;
    const result = await run(second, { target: path('second') });
    expect(readFileSync(path('second', 'compta.cre')).equals(books)).toBe(true);
    expect(server.calls.filter((call) => call === 'getPack')).toHaveLength(server.packs.size);
    expect(result.verified).toBe(true);
  });

  test('an own pack list: a new computer learns the packs it opens, so its first send sends only what is new', async () => {
    const root = makeMandate();
    const id = await send(root);
    const other = new Computer(server, 'b');
    other.root = computer.root;
    const there = await other.join();
    const target = path('Boulangerie 2');
    await run(id, { vault: there, target, mode: 'new' });
    const mandate = {
      name: 'Boulangerie',
      mandateId: MANDATE,
      path: target,
      modules: [{ kind: 'accounting' as const, file: 'compta.cre' }],
    };
    writeFileSync(join(target, 'neuf.txt'), 'neuf');
    const sent = await backup({ vault: there, mandate, deviceName: 'b', agentVersion: '0' });
    expect(sent.newBytes).toBeLessThan(10_000);
    other.remove();
  });

  test('--to takes an absent or empty folder only', async () => {
    const id = await send(makeMandate());
    mkdirSync(path('plein'));
    writeFileSync(path('plein', 'x'), 'x');
    expect((await failure(run(id, { target: path('plein') }))).kind).toBe('acceptance-missing');
    mkdirSync(path('vide'));
    expect((await run(id, { target: path('vide') })).verified).toBe(true);
    symlinkSync(path('vide'), path('lien'));
    expect((await failure(run(id, { target: path('lien') }))).kind).toBe('permission');
  });

  test('replacing keeps what was there whole, and tells what changes', async () => {
    const root = makeMandate();
    const id = await send(root);
    rmSync(join(root, 'Documents', 'rien'));
    writeFileSync(join(root, 'Documents', 'note.2.txt'), 'plus tard');
    writeFileSync(join(root, 'compta.cre'), 'écrasé');
    const before = treeOf(root);
    const result = await run(id, { target: root, mode: 'replace' });
    expect(result.changes).toEqual({ added: 1, changed: 1, removed: 2 });
    expect(result.replacedKept).toMatch(/Boulangerie \(remplacé \d{4}-\d\d-\d\d \d\dh\d\d\)$/);
    expect(treeOf(result.replacedKept ?? '')).toEqual(before);
    expect(readFileSync(join(root, 'compta.cre'))).toHaveLength(3_000_000);
    expect(leftovers()).toEqual([]);
  });

  test('MS-01: a bit flipped anywhere in a pack: --to gives the rest, replacing changes nothing', async () => {
    const root = makeMandate();
    const id = await send(root);
    const [pack] = server.packs.values();
    const length = pack?.length ?? 0;
    const before = treeOf(root);
    for (let n = 0; n < 12; n += 1) {
      const at = Math.floor((length / 12) * n) + n;
      server.mutations.getPack = (_, honest) => honest.map((byte, index) => (index === at ? byte ^ 4 : byte));
      const error = await failure(run(id, { target: root, mode: 'replace' }));
      expect(error.kind).toBe('integrity');
      expect(treeOf(root)).toEqual(before);
      expect(leftovers()).toEqual([]);
    }
    delete server.mutations.getPack;
    expect((await run(id)).verified).toBe(true);
  });

  test('MS-02 MS-03: a pack cut short or with bytes behind it is refused', async () => {
    const id = await send(makeMandate());
    const [pack] = server.packs.values();
    const length = pack?.length ?? 0;
    for (const other of [length - 1, length + 1, length - 256 * 1024, length + 256 * 1024, 108, 0]) {
      server.mutations.getPack = (_, honest) => {
        const bytes = new Uint8Array(other);
        bytes.set(honest.subarray(0, other));
        return bytes;
      };
      expect((await failure(run(id))).kind).toBe('integrity');
      expect(existsSync(path('restitué'))).toBe(false);
    }
  });

  test.each([
    ['MS-01', (honest: Uint8Array): Uint8Array | undefined => honest.fill(1, 90_000, 90_010), 'damaged'],
    ['MS-26', (): Uint8Array | undefined => undefined, 'missing'],
  ])('%s: with one pack of several bad, --to writes every other file and replacing none', async (_, lie, code) => {
    const root = makeMandate();
    await send(root);
    const [books] = server.packs.keys();
    const documents: string[] = [];
    // days enough that the packs of the catalog are not all still in memory when the files are fetched
    for (let day = 0; day < 3; day += 1) {
      writeFileSync(join(root, `jour ${day}.pdf`), randomBytes(20_000));
      documents.push(`jour ${day}.pdf`);
      await send(root);
    }
    const id = await send(root);
    const record = await vault.record(id);
    const ids = new Map(record.packs.map(({ packRef, packId }) => [packRef, packId]));
    const catalogPacks = new Set(record.catalog.extents.map(({ packRef }) => ids.get(packRef)));
    const inMemory = [...catalogPacks].slice(0, 2);
    const lost = [...server.packs.keys()].find((pack) => pack !== books && !inMemory.includes(pack));
    expect(lost).toBeDefined();
    const fetched = new Set<string>();
    server.mutations.getPack = (pack, honest) => {
      // the catalog may lie in this pack too: it is read first, and honestly
      const again = fetched.has(pack);
      fetched.add(pack);
      return pack === lost && (again || !catalogPacks.has(pack)) ? lie(honest) : honest;
    };
    const before = treeOf(root);
    const result = await run(id);
    expect(result.verified).toBe(false);
    expect(restoreExitCode(result)).toBe(10);
    const names = result.damaged.map((file) => file.path);
    expect(names.length).toBeGreaterThan(0);
    expect(result.damaged.every((file) => file.code === code)).toBe(true);
    for (const name of ['compta.cre', ...documents])
      expect(existsSync(join(result.target, name))).toBe(!names.includes(name));
    fetched.clear();
    const error = await failure(run(id, { target: root, mode: 'replace' }));
    expect(error.kind).toBe('integrity');
    expect(treeOf(root)).toEqual(before);
  });

  test('MS-01: a pack damaged on its first way only is fetched again', async () => {
    const id = await send(makeMandate());
    let first = true;
    server.mutations.getPack = (_, honest) => {
      if (first) honest[1000] = (honest[1000] as number) ^ 1;
      first = false;
      return honest;
    };
    expect((await run(id)).verified).toBe(true);
  });

  test('MS-04 MS-07: another genuine pack, also of another vault, is refused', async () => {
    const root = makeMandate();
    const id = await send(root);
    const other = new MemoryServer();
    const elsewhere = new Computer(other);
    const there = await elsewhere.create();
    const mandate = { name: 'Autre', mandateId: MANDATE, path: root, modules: [] };
    await backup({ vault: there, mandate, deviceName: 'b', agentVersion: '0' });
    const [foreign] = other.packs.values();
    server.mutations.getPack = () => foreign;
    expect((await failure(run(id))).kind).toBe('integrity');
    expect(existsSync(path('restitué'))).toBe(false);
    elsewhere.remove();
  });

  test('MS-19: a withheld record is an omission', async () => {
    const id = await send(makeMandate());
    server.mutations.record = () => undefined;
    const other = new Computer(server, 'b');
    other.root = computer.root;
    const there = await other.open('read');
    expect((await failure(run(id, { vault: there }))).kind).toBe('omission');
    other.remove();
  });

  test('F-18: an interrupted restore is taken up again: nothing is in place before, all after', async () => {
    const root = makeMandate();
    await send(root);
    writeFileSync(join(root, 'neuf.bin'), randomBytes(12_000_000));
    const id = await send(root);
    const stop = new AbortController();
    let fetched = 0;
    server.mutations.getPack = (_, honest) => {
      fetched += 1;
      if (fetched === 2) stop.abort(); // the first has the catalog
      return honest;
    };
    const error = await failure(run(id, { signal: stop.signal }));
    expect(error.kind).toBe('interrupted');
    expect(existsSync(path('restitué'))).toBe(false);
    expect(leftovers()).toHaveLength(1);
    delete server.mutations.getPack;
    const result = await run(id);
    expect(result.verified).toBe(true);
    const expected = treeOf(root);
    delete expected['dehors'];
    expect(treeOf(result.target)).toEqual(expected);
    expect(leftovers()).toEqual([]);
  });

  test('MS-38: what someone put into the staging folder of an interrupted restore is removed, links first', async () => {
    const root = makeMandate();
    const id = await send(root);
    const staging = openStaging(path('restitué'), id);
    mkdirSync(path('ailleurs'));
    symlinkSync(path('ailleurs'), join(staging.tree, 'Documents'));
    writeFileSync(join(staging.tree, 'intrus.exe'), 'x');
    writeFileSync(join(staging.tree, 'compta.cre'), 'faux');
    const result = await run(id);
    expect(readdirSync(path('ailleurs'))).toEqual([]);
    expect(existsSync(join(result.target, 'intrus.exe'))).toBe(false);
    expect(readFileSync(join(result.target, 'compta.cre'))).toHaveLength(3_000_000);
  });

  test('MS-38: a staging folder that others may write to is refused', async () => {
    const id = await send(makeMandate());
    const staging = openStaging(path('restitué'), id);
    chmodSync(staging.dir, 0o777);
    expect((await failure(run(id))).kind).toBe('permission');
  });

  test('MS-39: a snapshot larger than the disk is refused before anything is written', () => {
    const staging = openStaging(path('restitué'), '0'.repeat(64));
    expect(() => requireSpace(staging, 2 ** 60)).toThrow(expect.objectContaining({ kind: 'disk-full' }));
  });
});

test('hundreds of small files, of any mode: all come back, also after an interruption while they are finished', async () => {
  const root = path('Beaucoup');
  const modes = [0o644, 0o440, 0o600, 0o200, 0o000];
  for (let n = 0; n < 300; n += 1) {
    mkdirSync(join(root, `d${n % 20}`), { recursive: true });
    writeFileSync(join(root, `d${n % 20}`, `f${n}`), `file ${n}`);
    utimesSync(join(root, `d${n % 20}`, `f${n}`), 1_600_000_000 + n, 1_600_000_000 + n);
  }
  writeFileSync(join(root, 'compta.cre'), 'module');
  // as root every mode can be read; as anyone else the files are sent before they are closed off
  for (let n = 0; n < 300 && process.getuid?.() === 0; n += 1)
    chmodSync(join(root, `d${n % 20}`, `f${n}`), modes[n % modes.length] as number);
  const before = treeOf(root);
  const snapshot = await send(root);
  const stop = new AbortController();
  const stopped = run(snapshot, {
    signal: stop.signal,
    progress: ({ files }) => files === 301 && setImmediate(() => stop.abort()),
  });
  expect((await failure(stopped)).kind).toBe('interrupted');
  expect(existsSync(path('restitué'))).toBe(false);
  expect((await run(snapshot)).damaged).toEqual([]);
  expect(treeOf(path('restitué'))).toEqual(before);
  const { mtimeMs } = lstatSync(path('restitué', 'd7', 'f287'));
  expect(mtimeMs).toBeCloseTo((1_600_000_000 + 287) * 1000, 1);
});
