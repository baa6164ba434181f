import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, jest } from '@jest/globals';
import type { PieceStatus } from '../compute/jobs.ts';
import { PIECE_STATUS, statOf } from '../compute/jobs.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { scanMandate } from '../mandate/scan.ts';
import { MemoryServer } from '../vault/memory-remote.ts';
import type { Vault } from '../vault/vault.ts';
import { Computer } from '../vault/vault-fixture.ts';
import { type BackupResult, backup } from './backup.ts';
import { Books, type FileEntry, toEntries } from './entry.ts';
import { readFiles } from './read-files.ts';

jest.setTimeout(60_000);

let root: string;
let computer: Computer;
let vault: Vault;
let writers: ChildProcess[];
const modules: Mandate['modules'] = [{ kind: 'accounting', file: 'a.cre' }];

beforeAll(async () => {
  computer = new Computer(new MemoryServer());
  vault = await computer.create();
});
afterAll(() => computer.remove());

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'safe-capture-')));
  writers = [];
});
afterEach(async () => {
  await Promise.all(writers.map(stop));
  rmSync(root, { recursive: true, force: true });
});

const at = (name: string): string => join(root, name);
const send = (): Promise<BackupResult> => {
  const mandate = { name: 'Boulangerie', mandateId: '0f'.repeat(16), path: root, modules };
  return backup({ vault, mandate, deviceName: 'poste', agentVersion: '1' });
};

/** A process of its own that runs `script` (JavaScript, every `ms` milliseconds) in the mandate's folder, and has begun. */
async function writer(script: string, ms = 5): Promise<ChildProcess> {
  const program = `const fs = require('node:fs'); let n = 0; setInterval(() => { n++; ${script} }, ${ms}); console.log('begun')`;
  const child = spawn(process.execPath, ['-e', program], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  writers.push(child);
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

it('F-27 a program that keeps writing a module in place: refused with its name, and sent whole once it stopped', async () => {
  writeFileSync(at('a.cre'), Buffer.alloc(300_000, 'a'));
  writeFileSync(at('letter.txt'), 'a letter');
  const program = await writer(`fs.writeFileSync('a.cre', Buffer.alloc(300000, 97 + n % 20), { flag: 'r+' })`);
  const before = vault.snapshots().length;
  await expect(send()).rejects.toMatchObject({ kind: 'mandate-unstable', exitCode: 7, details: { file: 'a.cre' } });
  expect(vault.snapshots()).toHaveLength(before);
  await stop(program);
  expect(await send()).toMatchObject({ unchanged: false, files: 2, problems: [] });
});

it('F-27 a program that keeps writing a journal beside a quiet module: refused with the journal’s name', async () => {
  for (const name of ['a.cre', 'a.cre-wal']) writeFileSync(at(name), 'x'.repeat(1000));
  await writer(`fs.appendFileSync('a.cre-wal', 'one more page')`);
  await expect(send()).rejects.toMatchObject({ kind: 'mandate-unstable', details: { file: 'a.cre-wal' } });
});

it('F-27 a program that keeps writing a document: the books are sent, the document is a problem', async () => {
  writeFileSync(at('a.cre'), 'books');
  writeFileSync(at('log.txt'), 'log');
  await writer(`fs.appendFileSync('log.txt', 'one more line')`, 2);
  expect(await send()).toMatchObject({ files: 1, problems: [{ path: 'log.txt', code: 'changed' }] });
});

/** Reads a scanned mandate as a backup does, with `meanwhile` doing to the disk what it wants in each try. */
async function capture(meanwhile: (tries: number) => void): Promise<Map<string, FileEntry>> {
  const books = new Books(modules);
  const entries = toEntries(await scanMandate(root), books, undefined, () => false);
  let tries = 0;
  await readFiles(root, entries, books, (files) => {
    tries += 1;
    meanwhile(tries);
    return Promise.resolve(files.flatMap((file) => read(file)));
  });
  return new Map(entries.flatMap(({ file }) => (file ? [[file.path, file]] : [])));
}

/** What the workers answer for one file; its content is kept where the hash would be. */
function read(file: FileEntry): { file: FileEntry; status: PieceStatus }[] {
  const stat = statSync(at(file.path), { bigint: true, throwIfNoEntry: false });
  if (!stat) return [{ file, status: PIECE_STATUS.vanished }];
  if (JSON.stringify(statOf(stat)) !== JSON.stringify(file.stat)) return [{ file, status: PIECE_STATUS.changed }];
  Object.assign(file, { sha256: readFileSync(at(file.path), 'utf8') });
  return [];
}

it('a module that is away for a moment while a program replaces it is read as what came instead', async () => {
  writeFileSync(at('a.cre'), 'old books');
  const read = await capture((tries) => {
    if (tries === 1) renameSync(at('a.cre'), at('a.bak'));
    if (tries === 2) writeFileSync(at('a.cre'), 'new books');
  });
  expect(read.get('a.cre')).toMatchObject({ sha256: 'new books', problem: undefined });
});

it('a module that goes for good is refused: the next run sees what the mandate has become', async () => {
  writeFileSync(at('a.cre'), 'books');
  await expect(capture((tries) => tries === 1 && rmSync(at('a.cre')))).rejects.toMatchObject({
    kind: 'mandate-unstable',
    details: { file: 'a.cre' },
  });
});

it('a journal that goes and comes back is not left out in silence', async () => {
  for (const name of ['a.cre', 'a.cre-journal']) writeFileSync(at(name), name);
  const run = capture((tries) => {
    if (tries === 1) rmSync(at('a.cre-journal'));
    if (tries === 2) writeFileSync(at('a.cre-journal'), 'the next transaction');
  });
  await expect(run).rejects.toMatchObject({ kind: 'mandate-unstable', details: { file: 'a.cre-journal' } });
});

it('a journal that goes because the program closed: the module is read as it became', async () => {
  for (const name of ['a.cre', 'a.cre-wal']) writeFileSync(at(name), name);
  const read = await capture((tries) => {
    if (tries !== 1) return;
    writeFileSync(at('a.cre'), 'with the pages of the journal');
    rmSync(at('a.cre-wal'));
  });
  expect(read.get('a.cre')).toMatchObject({ sha256: 'with the pages of the journal', problem: undefined });
});
