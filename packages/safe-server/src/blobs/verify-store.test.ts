import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { FolderStore } from './folder-store.ts';
import { MemoryStore } from './memory-store.ts';
import { hasS3, openS3 } from './s3.test.bed.ts';
import type { S3Store } from './s3-store.ts';
import type { BlobStore } from './store.ts';
import { type StoreReport, verifyStore } from './verify-store.ts';

const folder = await mkdtemp(join(tmpdir(), 'safe-verify-'));
const opened: S3Store[] = [];
afterAll(async () => {
  for (const store of opened) store.close();
  await rm(folder, { recursive: true });
});

const named = ({ checks }: StoreReport, wanted: string) =>
  checks.filter(({ result }) => result === wanted).map(({ name }) => name);

async function everything(store: BlobStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.list('probe/')) keys.push(key);
  return keys;
}

/** A real store of which some methods lie. */
function lying(lies: (honest: MemoryStore) => Partial<BlobStore>): { store: BlobStore; honest: MemoryStore } {
  const honest = new MemoryStore();
  const store: BlobStore = {
    put: (key, body, facts) => honest.put(key, body, facts),
    get: (key, range) => honest.get(key, range),
    stat: (key) => honest.stat(key),
    delete: (key) => honest.delete(key),
    list: (prefix) => honest.list(prefix),
    ...lies(honest),
  };
  return { store, honest };
}

async function s3(conditional?: boolean): Promise<S3Store> {
  const store = await openS3(conditional === undefined ? {} : { conditional });
  opened.push(store);
  return store;
}

describe('a store that keeps the contract passes, and nothing stays behind', () => {
  it('memory', async () => {
    const store = new MemoryStore();
    const report = await verifyStore(store);
    expect(report).toMatchObject({ ok: true, leftBehind: 0 });
    expect([named(report, 'failed'), named(report, 'not-applicable')]).toEqual([[], ['conditional']]);
    expect(await everything(store)).toEqual([]);
  });

  it('folder', async () => {
    const store = await FolderStore.open(folder);
    const report = await verifyStore(store);
    expect(report).toMatchObject({ ok: true, leftBehind: 0 });
    expect(named(report, 'failed')).toEqual([]);
    for (const time of Object.values(report.latencyMs ?? {})) expect(time).toBeGreaterThanOrEqual(0);
    expect(await everything(store)).toEqual([]);
    expect(await readdir(join(folder, 'tmp'))).toEqual([]);
  });

  (hasS3 ? it : it.skip)('S3', async () => {
    const store = await s3();
    const report = await verifyStore(store);
    expect(report).toMatchObject({ ok: true, leftBehind: 0 });
    expect([named(report, 'failed'), named(report, 'not-applicable')]).toEqual([[], []]);
    expect(report.latencyMs?.put).toBeGreaterThan(0);
    expect(await everything(store)).toEqual([]);
  });

  (hasS3 ? it : it.skip)('S3 where the store cannot create conditionally lacks only what is wished', async () => {
    const store = await s3(false);
    const report = await verifyStore(store);
    expect(report.ok).toBe(true);
    expect(named(report, 'failed')).toContain('conditional');
    expect(await everything(store)).toEqual([]);
  });
});

describe('a store that lies is named for it', () => {
  it('one that overwrites', async () => {
    const { store, honest } = lying((real) => ({
      put: async (key, body, facts) => {
        await real.delete(key);
        return await real.put(key, body, facts);
      },
    }));
    const report = await verifyStore(store);
    expect(report.ok).toBe(false);
    expect(named(report, 'failed')).toEqual(['overwrite']);
    expect(report.checks.find(({ name }) => name === 'overwrite')?.detail).toBe('the second put replaced the first');
    expect(await everything(honest)).toEqual([]);
  });

  it('one that returns other bytes', async () => {
    const { store, honest } = lying((real) => ({
      get: async (key, range) => {
        const read = await real.get(key, range);
        return read && { length: read.length, body: flipped(read.body) };
      },
    }));
    const report = await verifyStore(store);
    expect(report.ok).toBe(false);
    expect(named(report, 'failed')).toEqual(expect.arrayContaining(['whole', 'range', 'fresh', 'large']));
    expect(named(report, 'passed')).toEqual(expect.arrayContaining(['stat', 'wrong-bytes', 'list']));
    expect(await everything(honest)).toEqual([]);
  });

  it.each<[string, string[], boolean, (real: MemoryStore) => Partial<BlobStore>]>([
    ['ignores ranges', ['range', 'large'], false, (real) => ({ get: (key) => real.get(key) })],
    ['has a limit of 16 MiB', ['large'], false, limited],
    ['remembers that nothing was there', ['fresh'], false, remembering],
    ['takes wrong bytes', ['wrong-bytes'], false, trusting],
    ['tells every racer that it created', ['single-creator'], true, flattering],
    ['lists nothing', ['list'], true, () => ({ list: nothing })],
  ])('one that %s', async (_, failed, ok, lies) => {
    const { store, honest } = lying(lies);
    const report = await verifyStore(store);
    expect([named(report, 'failed'), report.ok, report.leftBehind]).toEqual([failed, ok, 0]);
    expect(await everything(honest)).toEqual([]);
  });

  it('one that does not delete: what stays behind is told', async () => {
    const { store, honest } = lying(() => ({ delete: async () => undefined }));
    const report = await verifyStore(store);
    expect(named(report, 'failed')).toEqual(expect.arrayContaining(['delete']));
    expect(report.ok).toBe(false);
    expect(report.leftBehind).toBe((await everything(honest)).length);
    expect(report.leftBehind).toBeGreaterThan(0);
  });
});

it('an operator who stops it finds nothing left behind', async () => {
  const abort = new AbortController();
  const { store, honest } = lying((real) => ({
    stat: async (key) => {
      abort.abort(new Error('stopped'));
      return await real.stat(key);
    },
  }));
  await expect(verifyStore(store, abort.signal)).rejects.toThrow('stopped');
  expect(await everything(honest)).toEqual([]);
});

async function* flipped(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    const copy = Uint8Array.from(piece);
    copy[0] = (copy[0] ?? 0) ^ 1;
    yield copy;
  }
}

async function* nothing(): AsyncGenerator<string> {}

function limited(real: MemoryStore): Partial<BlobStore> {
  return {
    put: async (key, body, facts) => {
      if (facts.length > 16 * 1024 * 1024) throw new Error('413 EntityTooLarge');
      return await real.put(key, body, facts);
    },
  };
}

/** Like a cache: a key that was asked for in vain is missing until it is asked for again. */
function remembering(real: MemoryStore): Partial<BlobStore> {
  const missing = new Set<string>();
  return {
    stat: async (key) => {
      if (missing.delete(key)) return undefined;
      const found = await real.stat(key);
      if (found === undefined && key.includes('-fresh-')) missing.add(key);
      return found;
    },
  };
}

function trusting(real: MemoryStore): Partial<BlobStore> {
  return {
    put: async (key, body, facts) => {
      try {
        return await real.put(key, body, facts);
      } catch {
        await real.put(key, new Uint8Array(), {
          length: 0,
          sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
        });
        return 'created';
      }
    },
  };
}

function flattering(real: MemoryStore): Partial<BlobStore> {
  return {
    put: async (key, body, facts) => {
      const answer = await real.put(key, body, facts);
      return key.endsWith('-single-creator') ? 'created' : answer;
    },
  };
}
