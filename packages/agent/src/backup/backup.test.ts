import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  asMandateId,
  type CatalogNode,
  CatalogReader,
  type Extent,
  openPack,
  type SnapshotId,
} from '@cresus-safe/protocol';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { AgentError } from '../errors.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { MemoryServer } from '../vault/memory-remote.ts';
import type { Vault } from '../vault/vault.ts';
import { Computer } from '../vault/vault-fixture.ts';
import { type BackupOptions, type BackupResult, backup } from './backup.ts';

jest.setTimeout(120_000);

const MANDATE_ID = '0f'.repeat(16);
const OLD = new Date('2026-01-02T03:04:05.678Z');

let root: string;
let server: MemoryServer;
let computer: Computer;
let vault: Vault;
let mandate: Mandate;

beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'safe-backup-')));
  server = new MemoryServer();
  computer = new Computer(server);
  vault = await computer.create();
  mandate = {
    name: 'Boulangerie',
    mandateId: MANDATE_ID,
    path: root,
    modules: [{ kind: 'accounting', file: 'a.cre' }],
  };
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
  computer.remove();
});

/** Writes a file that looks as if it had been there for months, so that the cache trusts it at once. */
function put(path: string, content: string | Uint8Array): void {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), content);
  utimesSync(join(root, path), OLD, OLD);
}

const send = (options: Partial<BackupOptions> = {}): Promise<BackupResult> =>
  backup({ vault, mandate, deviceName: 'poste', agentVersion: '1', ...options });

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The nodes of a snapshot, with the hash of each file's content as it lies in the server's packs. */
async function contentOf(id: SnapshotId): Promise<Map<string, CatalogNode & { content?: string }>> {
  const record = await vault.record(id);
  const keys = vault.mandate(asMandateId(MANDATE_ID));
  const packIds = new Map(record.packs.map(({ packRef, packId }) => [packRef, packId]));
  const segments = new Map<string, Uint8Array>();
  const segmentOf = ({ packRef, segment }: Extent): Uint8Array => {
    const packId = packIds.get(packRef);
    if (!packId) throw new Error(`the record does not name pack ${packRef}`);
    const opened = openPack(server.packs.get(packId) ?? new Uint8Array(0), packId, keys);
    for (const ordinal of opened.segments.keys())
      segments.set(`${packRef}/${ordinal}`, opened.segment(ordinal).slice());
    return segments.get(`${packRef}/${segment}`) ?? new Uint8Array(0);
  };
  const read = (extents: readonly Extent[]): Buffer =>
    Buffer.concat(
      extents.map((extent) => {
        const plain = segments.get(`${extent.packRef}/${extent.segment}`) ?? segmentOf(extent);
        return plain.subarray(extent.offset, extent.offset + extent.length);
      }),
    );
  const reader = new CatalogReader();
  const nodes = reader.push(read(record.catalog.extents));
  reader.finish();
  return new Map(
    nodes.map((node) => [node.path, node.type === 'file' ? { ...node, content: sha256(read(node.extents)) } : node]),
  );
}

/** Every file of a snapshot holds what the disk holds, and its hash in the catalog says so. */
async function expectAsOnDisk(id: SnapshotId): Promise<void> {
  const nodes = [...(await contentOf(id)).values()].filter((node) => node.type === 'file');
  expect(nodes.length).toBeGreaterThan(0);
  for (const { path, content, sha256: named } of nodes) {
    const onDisk = sha256(readFileSync(join(root, path)));
    expect([path, content, named]).toEqual([path, onDisk, onDisk]);
  }
}

const paths = async (id: SnapshotId): Promise<string[]> => [...(await contentOf(id)).keys()];
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2100));

describe('backup', () => {
  it('sends a mandate, then nothing, then only what changed', async () => {
    const books = randomBytes(6_000_000);
    put('a.cre', books);
    put('docs/facture é.pdf', randomBytes(50_000));
    put('docs/vide', '');
    mkdirSync(join(root, 'empty'));
    await settle();
    const first = await send();
    expect(first).toMatchObject({ files: 3, bytes: 6_050_000, newBytes: 6_050_000, unchanged: false, problems: [] });
    await expectAsOnDisk(first.id);
    expect(await paths(first.id)).toEqual(['a.cre', 'docs', 'docs/facture é.pdf', 'docs/vide', 'empty']);

    const again = await send();
    expect(again).toMatchObject({ id: first.id, unchanged: true, unchangedFiles: 3, newBytes: 0, sentBytes: 0 });
    expect(vault.snapshots()).toHaveLength(1);

    books.write('a change in the middle', 3_000_000);
    put('a.cre', books);
    const second = await send({ comment: 'le soir' });
    expect(second).toMatchObject({ unchanged: false, unchangedFiles: 2 });
    expect(second.newBytes).toBeLessThan(100_000);
    expect(second.sentBytes).toBe(256 * 1024);
    await expectAsOnDisk(second.id);
    expect(vault.snapshots().at(-1)).toMatchObject({ comment: 'le soir', files: 3 });
  });

  it('makes a snapshot of nothing new when a comment is given', async () => {
    put('a.cre', 'x');
    const first = await send();
    const second = await send({ comment: 'bouclement' });
    expect(second.unchanged).toBe(false);
    expect(second.id).not.toBe(first.id);
  });

  it('notices deletions, renames, modes, links, and the name of the mandate', async () => {
    for (const name of ['a', 'b', 'c']) put(name, name.repeat(20_000));
    await send();
    rmSync(join(root, 'a'));
    renameSync(join(root, 'b'), join(root, 'd'));
    const second = await send();
    expect(await paths(second.id)).toEqual(['c', 'd']);
    expect(second.newBytes).toBe(0);
    await expectAsOnDisk(second.id);
    chmodSync(join(root, 'c'), 0o600);
    expect((await send()).unchanged).toBe(false);
    symlinkSync('c', join(root, 'link'));
    const fourth = await send();
    expect((await contentOf(fourth.id)).get('link')).toMatchObject({ type: 'link', target: 'c' });
    expect((await send()).unchanged).toBe(true);
    mandate = { ...mandate, name: 'Boulangerie 2' };
    expect((await send()).unchanged).toBe(false);
  });

  it('reads a file again whose time cannot prove that it did not change (racy-clean)', async () => {
    writeFileSync(join(root, 'f'), 'one');
    const first = await send();
    writeFileSync(join(root, 'f'), 'two');
    utimesSync(join(root, 'f'), OLD, OLD);
    const second = await send();
    expect(second.id).not.toBe(first.id);
    await expectAsOnDisk(second.id);
  });

  it('lists what it cannot save: pipes, and never waits on them', async () => {
    put('f', 'x');
    execFileSync('mkfifo', [join(root, 'pipe')]);
    const result = await send();
    expect(result.problems).toEqual([{ code: 'special', path: 'pipe' }]);
    expect(vault.snapshots().at(-1)?.incomplete).toBe(true);
    expect((await send()).problems).toHaveLength(1);
  });

  it('does not deduplicate a stranger’s file with the books (R-10)', async () => {
    const content = randomBytes(100_000);
    put('a.cre', content);
    put('docs/x.cre', content);
    put('docs/copy.pdf', content);
    expect(await send()).toMatchObject({ newBytes: 200_000, bytes: 300_000 });
  });

  it('stores many small files, equal ones once', async () => {
    for (let i = 0; i < 3000; i++) put(`d${i % 7}/f${i}`, i % 3 === 0 ? 'the same' : `file ${i}`);
    const result = await send();
    expect(result).toMatchObject({ files: 3000, problems: [] });
    await expectAsOnDisk(result.id);
    expect(result.newBytes).toBeLessThan(2001 * 9);
  });

  it('stores a sparse file of many packs', async () => {
    put('sparse', '');
    truncateSync(join(root, 'sparse'), 60_000_000);
    put('random', randomBytes(30_000_000));
    const result = await send();
    expect(result.bytes).toBe(90_000_000);
    expect(result.sentBytes).toBeLessThan(31_000_000);
    expect((await vault.record(result.id)).packs.length).toBeGreaterThan(1);
    for (const { length } of server.packs.values()) expect(length % (256 * 1024)).toBe(0);
    await expectAsOnDisk(result.id);
  });
});

describe('backup after trouble', () => {
  it('sends nothing twice after a run that was cut off before its commit', async () => {
    put('a.cre', randomBytes(20_000_000));
    server.mutations.append = () => {
      throw Object.assign(new Error('cut'), { code: 'ECONNRESET' });
    };
    await expect(send()).rejects.toThrow();
    const sent = server.packs.size;
    expect(sent).toBeGreaterThan(0);
    delete server.mutations.append;
    const result = await send();
    expect(result.newBytes).toBe(0);
    expect(result.sentBytes).toBeLessThan(1_000_000);
    await expectAsOnDisk(result.id);
  });

  it('seals again what a lying server threw away (MS-25)', async () => {
    put('a.cre', randomBytes(300_000));
    put('b', randomBytes(300_000));
    let lies = 1;
    server.mutations.putPack = () => (lies-- > 0 ? 'discard' : undefined);
    const result = await send();
    expect(computer.codes).toContain('packs-sent-again');
    await expectAsOnDisk(result.id);
  });

  it('reads again what packs held that were lost after the last snapshot', async () => {
    put('old', randomBytes(100_000));
    await settle();
    await send();
    server.packs.clear();
    put('new', randomBytes(1000));
    const result = await send();
    await expectAsOnDisk(result.id);
    expect(await paths(result.id)).toEqual(['new', 'old']);
  });

  it('gives up on a server that loses every pack', async () => {
    put('f', randomBytes(1000));
    server.mutations.putPack = () => 'discard';
    await expect(send()).rejects.toMatchObject({ kind: 'integrity' });
    expect(vault.snapshots()).toHaveLength(0);
  });

  it('R-09: a pack that the server deleted meanwhile (410) is sealed anew under another name', async () => {
    put('documents/neu.pdf', randomBytes(50_000));
    const refused: string[] = [];
    server.mutations.putPack = (id) => {
      if (refused.length === 2) return undefined;
      refused.push(id);
      throw new AgentError('not-found', '410 pack-gone', { details: { status: 410, code: 'pack-gone' } });
    };
    const { id } = await send();
    delete server.mutations.putPack;
    expect(new Set(refused).size).toBe(2);
    expect([...server.packs.keys()].filter((pack) => refused.includes(pack))).toEqual([]);
    expect((await computer.open()).snapshots().at(-1)?.id).toBe(id);
  });

  it('does without its caches, and sends nothing again while one of them is there', async () => {
    put('a.cre', randomBytes(500_000));
    await settle();
    const first = await send();
    const dir = vault.mandateDir(vault.mandate(asMandateId(MANDATE_ID)).ref);
    rmSync(join(dir, 'files.cat'));
    expect(await send()).toMatchObject({ id: first.id, unchanged: true, newBytes: 0 });
    writeFileSync(join(dir, 'files.cat'), 'damaged');
    expect(await send()).toMatchObject({ id: first.id, unchanged: true });
    expect(computer.codes).toContain('file-cache-rebuilt');
    rmSync(join(dir, 'chunks.idx'));
    expect(await send()).toMatchObject({ unchanged: true });
    put('b', 'x');
    const last = await send();
    expect(last.newBytes).toBe(1);
    await expectAsOnDisk(last.id);
    rmSync(dir, { recursive: true });
    const fresh = await send({ comment: 'all caches are gone' });
    await expectAsOnDisk(fresh.id);
  });

  it('stops when it is told to, and the next run finishes', async () => {
    put('a.cre', randomBytes(30_000_000));
    const stop = new AbortController();
    const started = performance.now();
    let asked = 0;
    const run = send({
      signal: stop.signal,
      onProgress: ({ bytesDone }) => {
        if (bytesDone === 0 || asked > 0) return;
        asked = performance.now();
        stop.abort();
      },
    });
    await expect(run).rejects.toMatchObject({ kind: 'interrupted' });
    expect(asked).toBeGreaterThan(started);
    expect(performance.now() - asked).toBeLessThan(10_000);
    expect(vault.snapshots()).toHaveLength(0);
    await expectAsOnDisk((await send()).id);
  });
});

describe('files that do not hold still (F-27)', () => {
  /** Changes the disk whenever the backup makes progress in reading. */
  function meanwhile(act: (round: number) => void): Partial<BackupOptions> {
    let round = 0;
    return {
      onProgress: ({ phase }) => {
        if (phase === 'read') act(round++);
      },
    };
  }

  it('stores a file that changed once as it is at last', async () => {
    put('f', 'before');
    const result = await send(meanwhile((round) => round === 0 && writeFileSync(join(root, 'f'), 'after!!')));
    expect(result.problems).toEqual([]);
    await expectAsOnDisk(result.id);
  });

  it('lists files that vanish or become something else, and stores the others', async () => {
    for (const name of ['folder', 'gone', 'link', 'stays']) put(name, name);
    const result = await send(
      meanwhile((round) => {
        if (round > 0) return;
        for (const name of ['folder', 'gone', 'link']) rmSync(join(root, name));
        mkdirSync(join(root, 'folder'));
        symlinkSync('/etc/passwd', join(root, 'link'));
      }),
    );
    expect(result.problems).toEqual([
      { code: 'changed', path: 'folder' },
      { code: 'vanished', path: 'gone' },
      { code: 'changed', path: 'link' },
    ]);
    expect(result.files).toBe(1);
    expect(await paths(result.id)).toEqual(['folder', 'gone', 'link', 'stays']);
  });

  it('gives up on a document that never holds still, but stores the rest', async () => {
    put('doc', 'x');
    put('other', 'x');
    const timer = setInterval(
      () => writeFileSync(join(root, 'doc'), randomBytes(1 + Math.floor(Math.random() * 50))),
      1,
    );
    const result = await send().finally(() => clearInterval(timer));
    // it may have been caught in a quiet moment: then it is stored whole
    expect([[], [{ code: 'changed', path: 'doc' }]]).toContainEqual(result.problems);
    expect((await contentOf(result.id)).get('other')?.content).toBe(sha256(Buffer.from('x')));
    for (const node of (await contentOf(result.id)).values())
      if (node.type === 'file') expect(node.content).toBe(node.sha256);
  });

  it('refuses books that never hold still', async () => {
    put('a.cre', 'books');
    let round = 0;
    const grow = (): void => writeFileSync(join(root, 'a.cre'), 'z'.repeat(++round * 10));
    const timer = setInterval(grow, 5);
    const run = send(meanwhile(grow)).finally(() => clearInterval(timer));
    await expect(run).rejects.toMatchObject({ kind: 'mandate-unstable', details: { file: 'a.cre' } });
    expect(vault.snapshots()).toHaveLength(0);
  });

  it('refuses books beside which a journal appears', async () => {
    put('a.cre', 'books');
    const result = send(meanwhile(() => writeFileSync(join(root, 'a.cre-wal'), 'journal')));
    await expect(result).rejects.toMatchObject({ kind: 'mandate-unstable' });
  });
});

it('asks every hour of a long send to keep what it relies on: packs of the last snapshot, of a broken off run, its own', async () => {
  const HOUR = 3_600_000;
  const hours: number[] = [];
  const kept: string[][] = [];
  let now = Date.now();
  computer.now = () => now;
  const { remote } = computer;
  const keepPacks = remote.keepPacks.bind(remote);
  remote.keepPacks = (ids) => {
    hours.push(now / HOUR);
    kept.push([...ids]);
    return keepPacks(ids);
  };
  const packs = (): string[] => [...server.packs.keys()];
  put('a.cre', randomBytes(100_000));
  await send();
  const ofLast = packs();
  const broken = randomBytes(100_000);
  put('documents/b.pdf', broken);
  server.mutations.append = () => {
    throw new AgentError('unreachable', 'cut');
  };
  await expect(send()).rejects.toMatchObject({ kind: 'unreachable' });
  delete server.mutations.append;
  const ofBroken = packs().filter((id) => !ofLast.includes(id));
  expect([ofLast.length, ofBroken.length, kept.length]).toEqual([1, 1, 0]);

  put('documents/c.pdf', randomBytes(70_000_000));
  const begun = now / HOUR;
  server.mutations.putPack = () => {
    now += HOUR * 0.7;
    return undefined;
  };
  await send();
  const packsSent = packs().length - 2;
  expect(packsSent).toBeGreaterThan(4);
  // half an hour too late at most, as packs take that long here
  expect(hours.length).toBeGreaterThanOrEqual(Math.floor((packsSent * 0.7) / 1.4) - 1);
  expect(hours.every((hour, i) => hour - (hours[i - 1] ?? begun) >= 1)).toBe(true);
  for (const ids of kept) expect(ids).toEqual(expect.arrayContaining([...ofLast, ...ofBroken]));
  expect(new Set(kept.map(({ length }) => length)).size).toBe(kept.length); // each has packs of this run that the one before had not
});
