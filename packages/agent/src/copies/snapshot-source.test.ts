import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Extent, SnapshotId } from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { backup } from '../backup/backup.ts';
import { readSnapshotCatalog } from '../restore/catalog.ts';
import { MemoryServer } from '../vault/memory-remote.ts';
import type { Vault } from '../vault/vault.ts';
import { Computer, MANDATE } from '../vault/vault-fixture.ts';
import { checkNewPassword } from './copy-password.ts';
import { openCopy } from './open-copy.ts';
import { SegmentCache } from './segment-cache.ts';
import { snapshotSource } from './snapshot-source.ts';
import { writeCopy } from './write-copy.ts';

jest.setTimeout(60_000);

let dir: string;
let books: string;
let server: MemoryServer;
let computer: Computer;
let vault: Vault;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'safe-copy-'));
  books = join(dir, 'books');
  mkdirSync(join(books, 'vide'), { recursive: true });
  mkdirSync(join(dir, 'stick'));
  writeFileSync(join(books, 'compta.cre'), randomBytes(6_000_000));
  for (let n = 0; n < 20; n += 1) writeFileSync(join(books, `piece ${n}.pdf`), randomBytes(30_000 + n));
  symlinkSync('compta.cre', join(books, 'lien'));
  server = new MemoryServer();
  computer = new Computer(server);
  vault = await computer.create();
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
  computer.remove();
});

async function send(): Promise<SnapshotId> {
  const modules = [{ kind: 'accounting' as const, file: 'compta.cre' }];
  const mandate = { name: 'Boulangerie', mandateId: MANDATE, path: books, modules };
  return (await backup({ vault, mandate, deviceName: 'poste', agentVersion: '0', comment: 'lundi' })).id;
}

/** Days of work: the last snapshot names packs of each of them. */
async function days(count: number): Promise<SnapshotId> {
  let id = await send();
  for (let day = 1; day < count; day += 1) {
    const bytes = readFileSync(join(books, 'compta.cre'));
    for (let at = day * 1000; at < bytes.length; at += 600_000) randomBytes(3000).copy(bytes, at);
    writeFileSync(join(books, 'compta.cre'), bytes);
    appendFileSync(join(books, `piece ${day}.pdf`), randomBytes(500));
    id = await send();
  }
  return id;
}

async function copyOf(snapshot: SnapshotId) {
  const source = await snapshotSource({ vault, snapshot, kind: 'snapshot', comment: 'lundi' });
  const file = join(dir, 'stick', 'copie');
  return { source, written: await writeCopy({ source, file, overwrite: false, agentVersion: '1', now: Date.now }) };
}

describe('a copy of a snapshot', () => {
  it('holds its files byte for byte, its comment and its time; links are told', async () => {
    const { written, source } = await copyOf(await days(4));
    expect(written).toMatchObject({ files: 21, comment: 'lundi', problems: [{ path: 'lien', code: 'link' }] });
    const copy = await openCopy(written.file);
    expect(copy.manifest).toMatchObject({ createdAt: source.createdAt, source: { kind: 'snapshot', id: source.id } });
    for (const node of copy.nodes) {
      if (node.type !== 'file') continue;
      const target = join(dir, 'out');
      await copy.extract(node, target);
      expect(readFileSync(target).equals(readFileSync(join(books, node.path)))).toBe(true);
      rmSync(target);
    }
    await copy.close();
  });

  it('opens each pack once, although the days lie in each other', async () => {
    const id = await days(5);
    const fetched: string[] = [];
    const getPack = vault.remote.getPack.bind(vault.remote);
    vault.remote.getPack = (pack, ...rest) => {
      fetched.push(pack);
      return getPack(pack, ...rest);
    };
    await copyOf(id);
    // the packs of the catalog (a second one where it shares a chunk with the day before) are read for it, and again for files
    expect(fetched.length).toBeLessThanOrEqual(new Set(fetched).size + 2);
    expect(new Set(fetched).size).toBe(5);
  });

  it('gives the same bytes with no room to remember anything', async () => {
    const record = await vault.record(await days(3));
    const keys = vault.mandate(MANDATE);
    const { nodes } = await readSnapshotCatalog(vault.reader(), keys, record);
    const extents = nodes.flatMap((node): readonly Extent[] => (node.type === 'file' ? node.extents : []));
    const packIds = new Map(record.packs.map(({ packRef, packId }) => [packRef, packId]));
    const roomy = new SegmentCache(vault.reader(), keys, packIds, extents);
    const bare = new SegmentCache(vault.reader(), keys, packIds, extents, 0);
    for (const extent of extents) expect((await bare.take(extent)).equals(await roomy.take(extent))).toBe(true);
    expect(roomy.opened).toBe(record.packs.length);
    expect(bare.opened).toBeGreaterThan(roomy.opened);
  });

  it('is not made of a snapshot with a damaged pack, and leaves nothing', async () => {
    const id = await send();
    const getPack = vault.remote.getPack.bind(vault.remote);
    vault.remote.getPack = async (...args) => {
      const bytes = await getPack(...args);
      bytes[5000] = (bytes[5000] as number) ^ 1;
      return bytes;
    };
    await expect(copyOf(id)).rejects.toMatchObject({ kind: 'integrity' });
    expect(readdirSync(join(dir, 'stick'))).toEqual([]);
  });
});

describe('the password of a copy', () => {
  it('is not the secret key, whether this run was given that or the vault can tell', async () => {
    const isSecret = { kind: 'usage', key: 'error.copy-password-is-secret' };
    await expect(checkNewPassword('un secret bien long', computer.dir, undefined)).rejects.toMatchObject(isSecret);
    await expect(checkNewPassword('été 2026!', join(dir, 'none'), 'e\u0301te\u0301 2026!')).rejects.toMatchObject(
      isSecret,
    );
    await expect(checkNewPassword('un autre secret', computer.dir, 'un secret bien long')).resolves.toBeUndefined();
    await expect(checkNewPassword('un secret bien long', join(dir, 'none'), undefined)).resolves.toBeUndefined();
  });

  it('has eight characters at least', async () => {
    await expect(checkNewPassword('7 signes'.slice(1), dir, undefined)).rejects.toMatchObject({ kind: 'short-secret' });
  });
});
