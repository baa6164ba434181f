import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { type BlobStore, readBlob } from './store.ts';

const KEY = `v/${'a'.repeat(32)}/p/${'b'.repeat(64)}`;

function factsOf(bytes: Uint8Array) {
  return { length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield Uint8Array.from(bytes.subarray(at, at + size));
}

async function copyOf(body: AsyncIterable<Uint8Array> = pieces(new Uint8Array(), 1)): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const piece of body) copies.push(Buffer.from(piece)); // copied at once: pieces are only lent
  return Buffer.concat(copies);
}

async function keys(store: BlobStore, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const key of store.list(prefix)) found.push(key);
  return found.sort();
}

/**
 * Holds a store to the contract in `store.ts`. `make` gives an empty store; `racesAreWon`: of several writers of one key
 * at the same moment one creates it.
 */
export function describeBlobStore(
  name: string,
  make: () => Promise<BlobStore>,
  { racesAreWon = true }: { racesAreWon?: boolean } = {},
): void {
  describe(`BlobStore contract: ${name}`, () => {
    test('an object comes back byte for byte, whole and in ranges', async () => {
      const store = await make();
      const bytes = randomBytes(300_001);
      expect(await store.put(KEY, pieces(bytes, 70_000), factsOf(bytes))).toBe('created');
      expect(await store.stat(KEY)).toEqual({ length: bytes.length });
      expect(await readBlob(store, KEY, bytes.length)).toEqual(bytes);
      for (const [start, end] of [
        [0, 0],
        [1, 70_000],
        [300_000, 300_000],
      ] as const) {
        const read = await store.get(KEY, { start, end });
        expect(read?.length).toBe(bytes.length);
        expect(await copyOf(read?.body)).toEqual(bytes.subarray(start, end + 1));
      }
    });

    test('many readers at once, some of whom stop early, all get the right bytes', async () => {
      const store = await make();
      const objects = Array.from({ length: 4 }, () => randomBytes(600_000));
      const keyOf = (i: number) => `v/${'a'.repeat(32)}/p/${i}`;
      for (const [i, bytes] of objects.entries()) await store.put(keyOf(i), bytes, factsOf(bytes));
      const readAll = async (i: number) => copyOf((await store.get(keyOf(i)))?.body);
      const readFirst = async (i: number) => {
        for await (const piece of (await store.get(keyOf(i)))?.body ?? []) return Buffer.from(piece);
        return Buffer.alloc(0);
      };
      for (let round = 0; round < 3; round++) {
        const all = await Promise.all(objects.flatMap((_, i) => [readAll(i), readFirst(i)]));
        for (const [i, bytes] of objects.entries()) {
          expect(all[2 * i]?.equals(bytes)).toBe(true);
          const first = all[2 * i + 1] ?? Buffer.alloc(0);
          expect(first.length).toBeGreaterThan(0);
          expect(first.equals(bytes.subarray(0, first.length))).toBe(true);
        }
      }
    });

    test('an empty object is an object', async () => {
      const store = await make();
      expect(await store.put(KEY, new Uint8Array(), factsOf(new Uint8Array()))).toBe('created');
      expect(await readBlob(store, KEY, 0)).toEqual(Buffer.alloc(0));
    });

    test('the bytes of the caller stay untouched', async () => {
      const store = await make();
      const bytes = new Uint8Array(randomBytes(100_000).buffer.slice(0));
      const copy = Uint8Array.from(bytes);
      await store.put(KEY, bytes, factsOf(bytes));
      expect(Buffer.compare(bytes, copy)).toBe(0);
    });

    test('nothing is there before it was put', async () => {
      const store = await make();
      expect(await store.get(KEY)).toBeUndefined();
      expect(await store.stat(KEY)).toBeUndefined();
      expect(await keys(store, 'v/')).toEqual([]);
      await store.delete(KEY);
    });

    test('TN-08: what exists is never overwritten', async () => {
      const store = await make();
      const first = randomBytes(1000);
      const other = randomBytes(1000);
      await store.put(KEY, first, factsOf(first));
      expect(await store.put(KEY, other, factsOf(other))).toBe('exists');
      expect(await readBlob(store, KEY, 1000)).toEqual(first);
    });

    test('of racing writers one creates', async () => {
      const store = await make();
      const bytes = randomBytes(200_000);
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => store.put(KEY, pieces(bytes, 9000), factsOf(bytes))),
      );
      if (racesAreWon) expect(answers.filter((answer) => answer === 'created')).toHaveLength(1);
      expect(await readBlob(store, KEY, bytes.length)).toEqual(bytes);
    });

    test.each([
      ['other bytes', (b: Buffer) => Buffer.from(b).fill(0, 10, 11)],
      ['too short', (b: Buffer) => b.subarray(1)],
      ['too long', (b: Buffer) => Buffer.concat([b, Buffer.alloc(1)])],
    ])('TN-10: %s leave nothing behind', async (_name, spoil) => {
      const store = await make();
      const bytes = Buffer.alloc(100_000, 7);
      const put = store.put(KEY, pieces(spoil(bytes), 30_000), factsOf(bytes));
      await expect(put).rejects.toMatchObject({ code: 'hash-mismatch' });
      expect(await store.stat(KEY)).toBeUndefined();
    });

    test('a stream that breaks off leaves nothing behind and says why', async () => {
      const store = await make();
      const bytes = randomBytes(1000);
      const broken = (async function* () {
        yield Uint8Array.from(bytes.subarray(0, 500));
        throw new Error('cut');
      })();
      await expect(store.put(KEY, broken, factsOf(bytes))).rejects.toThrow('cut');
      expect(await store.stat(KEY)).toBeUndefined();
      expect(await store.put(KEY, bytes, factsOf(bytes))).toBe('created');
    });

    test('list finds the keys below a prefix; delete removes one', async () => {
      const store = await make();
      const all = ['v/aa/j/0000000001', 'v/aa/j/0000000002', 'v/aa/p/ff', 'v/ab/s/1', 'meta/clock'];
      for (const key of all) await store.put(key, Buffer.from(key), factsOf(Buffer.from(key)));
      expect(await keys(store, 'v/aa/')).toEqual(all.slice(0, 3));
      expect(await keys(store, 'v/aa/j/')).toEqual(all.slice(0, 2));
      await store.delete('v/aa/j/0000000001');
      expect(await keys(store, 'v/')).toEqual(all.slice(1, 4));
      expect(await store.stat('v/aa/j/0000000001')).toBeUndefined();
    });

    test.each([
      '',
      '/',
      'v',
      'v//p',
      '../x',
      'v/../x',
      'v/.',
      'v/a/',
      'v/a\0',
      'v/a b',
      `v/${'a'.repeat(101)}`,
      'V/a',
      'v\\a',
    ])('TN-21: %j is no key', async (key) => {
      const store = await make();
      await expect(store.put(key, new Uint8Array(), factsOf(new Uint8Array()))).rejects.toThrow('not a blob key');
      await expect(store.get(key)).rejects.toThrow('not a blob key');
      await expect(store.stat(key)).rejects.toThrow('not a blob key');
      await expect(store.delete(key)).rejects.toThrow('not a blob key');
      await expect(keys(store, `${key}/../`)).rejects.toThrow('not a prefix');
    });
  });
}
