import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { errorXml, type Fault, FaultyS3 } from './faulty-s3.test.bed.ts';
import { hasS3, openS3, realS3 } from './s3.test.bed.ts';
import type { S3Store } from './s3-store.ts';
import { readBlob } from './store.ts';

const KEY = `v/${'a'.repeat(32)}/p/${'b'.repeat(64)}`;
const MIB = 1024 * 1024;
const retry = { attempts: 12, deadlineMs: 20_000, baseMs: 5, maxMs: 50 };

let proxy: FaultyS3;
let store: S3Store;
/** The same bucket without the proxy. */
let plain: S3Store;

const factsOf = (bytes: Uint8Array) => ({
  length: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
});

async function* pieces(bytes: Uint8Array, size = 60_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield Uint8Array.from(bytes.subarray(at, at + size));
}

async function keys(of: S3Store): Promise<string[]> {
  const found: string[] = [];
  for await (const key of of.list('v/')) found.push(key);
  return found.sort();
}

/** Does `fault` to the first `times` requests of a method. */
function spoil(method: string, fault: Fault, times = 1): void {
  let left = times;
  proxy.fault = (asked) => (asked === method && left-- > 0 ? fault : undefined);
}

const slowDown: Fault = { answer: { status: 503, body: errorXml('SlowDown') } };

(hasS3 ? describe : describe.skip)('a store that fails', () => {
  beforeEach(async () => {
    const s3 = realS3();
    proxy = await FaultyS3.before(s3.endpoint);
    [store, plain] = await Promise.all([openS3({ retry, stepMs: 500 }, s3, proxy.url), openS3({}, s3)]);
    expect(await store.isConditional()).toBe(true);
  });
  afterEach(async () => {
    store.close();
    plain.close();
    await proxy.close();
  });

  test('F-28 of all answers 30 % are 500 and 503: everything succeeds, once', async () => {
    let n = 0;
    proxy.fault = () => {
      const kind = (n++ * 7919) % 10; // a third, spread, and the same every time
      if (kind > 2) return undefined;
      const code = kind === 0 ? 'InternalError' : 'SlowDown';
      return { answer: { status: kind === 0 ? 500 : 503, body: errorXml(code) }, after: kind === 2 };
    };
    const all = Array.from({ length: 24 }, () => randomBytes(3000));
    const put = await Promise.all(all.map((bytes, i) => store.put(`v/x/p/${i}`, bytes, factsOf(bytes))));
    expect(put).toEqual(all.map(() => 'created'));
    expect(await keys(store)).toEqual(all.map((_, i) => `v/x/p/${i}`).sort());
    for (const [i, bytes] of all.entries()) await holds(store, `v/x/p/${i}`, bytes);
    await Promise.all(all.map((_, i) => store.delete(`v/x/p/${i}`)));
    expect(await keys(plain)).toEqual([]);
    expect(n).toBeGreaterThan(24 * 3);
  });

  test('F-28 a store that stays down is told as such within its deadline, and is back when it is back', async () => {
    const quick = await openS3({ retry: { ...retry, attempts: 3 } }, realS3(), proxy.url);
    proxy.fault = () => slowDown;
    const down = { code: 'store-unavailable', status: 503, facts: { retryAfter: 5 } };
    const bytes = randomBytes(100);
    await expect(quick.stat(KEY)).rejects.toMatchObject(down);
    await expect(quick.put(KEY, bytes, factsOf(bytes))).rejects.toMatchObject(down);
    await expect(quick.get(KEY)).rejects.toMatchObject(down);
    proxy.fault = () => undefined;
    expect(await quick.put(KEY, bytes, factsOf(bytes))).toBe('created');
    quick.close();
  });

  test('F-28 a stream that was begun is not sent twice: the sender hears of it and nothing is there', async () => {
    spoil('PUT', slowDown);
    const bytes = randomBytes(MIB);
    await expect(store.put(KEY, pieces(bytes), factsOf(bytes))).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(await plain.stat(KEY)).toBeUndefined();
    expect(await store.put(KEY, pieces(bytes), factsOf(bytes))).toBe('created');
  });

  test.each<[string, Fault]>([
    ['the answer is lost', { lose: true }],
    ['a 500 comes after it', { answer: { status: 500, body: errorXml('InternalError') }, after: true }],
    [
      'a 200 with an error in it comes after it',
      { answer: { status: 200, body: errorXml('InternalError') }, after: true },
    ],
  ])('F-29 stored, but %s: it counts as created after it was read back', async (_, fault) => {
    for (const body of ['bytes', 'stream']) {
      const bytes = randomBytes(MIB);
      const key = `v/x/p/${body}`;
      spoil('PUT', fault);
      expect(await store.put(key, body === 'bytes' ? bytes : pieces(bytes), factsOf(bytes))).toBe('created');
      await holds(plain, key, bytes);
    }
  });

  test('F-29 no answer, and another object in its place: not a success', async () => {
    const [ours, theirs] = [randomBytes(1000), randomBytes(1000)];
    await plain.put(KEY, theirs, factsOf(theirs));
    spoil('PUT', { lose: true });
    expect(await store.put(KEY, ours, factsOf(ours))).toBe('exists');
    await holds(plain, KEY, theirs);
    spoil('PUT', { lose: true });
    await expect(store.put(KEY, pieces(ours), factsOf(ours))).rejects.toMatchObject({ code: 'store-unavailable' });
  });

  test.each<[string, Fault]>([
    [
      'a 200 with an error document',
      { answer: { status: 200, body: errorXml('InternalError'), headers: { etag: '"x"' } } },
    ],
    ['a 200 without ETag', { answer: { status: 200 } }],
  ])('F-30 %s is no success when nothing is there', async (_, fault) => {
    const bytes = randomBytes(MIB);
    spoil('PUT', fault);
    await expect(store.put(KEY, pieces(bytes), factsOf(bytes))).rejects.toMatchObject({ code: 'store-unavailable' });
    spoil('PUT', fault);
    expect(await store.put(KEY, bytes, factsOf(bytes))).toBe('created'); // in memory, so sent again
    await holds(plain, KEY, bytes);
  });

  test('F-30 a wrong ETag means nothing', async () => {
    const bytes = randomBytes(1000);
    const change = (body: Buffer, headers: Record<string, unknown>) => {
      headers['etag'] = '"00000000000000000000000000000000-3"';
      return body;
    };
    proxy.fault = () => ({ change });
    expect(await store.put(KEY, bytes, factsOf(bytes))).toBe('created');
    await holds(store, KEY, bytes);
  });

  test('F-30 bodies cut at any place are taken up again where they broke', async () => {
    const bytes = randomBytes(3 * MIB);
    await plain.put(KEY, bytes, factsOf(bytes));
    let n = 0;
    proxy.fault = (method) => (method === 'GET' && n++ < 5 ? { truncate: n % 2 === 0 ? 0 : 200_000 } : undefined);
    await holds(store, KEY, bytes);
    expect(n).toBeGreaterThan(5);
  });

  test('F-30 a body that always breaks, or is no part of an object, is an error and never an end', async () => {
    const bytes = randomBytes(MIB);
    await plain.put(KEY, bytes, factsOf(bytes));
    const read = await store.get(KEY);
    proxy.fault = () => ({ truncate: 0 });
    await expect(drain(read?.body)).rejects.toMatchObject({ code: 'store-unavailable' });
    proxy.fault = () => ({ answer: { status: 200, body: errorXml('InternalError') } });
    await expect(store.get(KEY)).rejects.toMatchObject({ code: 'store-unavailable' });
    await expect(keys(store)).rejects.toMatchObject({ code: 'store-unavailable' });
  });

  test('F-30 an object that changes its length while it is read is damage', async () => {
    const bytes = randomBytes(MIB);
    await plain.put(KEY, bytes, factsOf(bytes));
    const read = await store.get(KEY);
    const other = randomBytes(2 * MIB);
    await plain.delete(KEY);
    await plain.put(KEY, other, factsOf(other));
    await expect(drain(read?.body)).rejects.toMatchObject({ code: 'stored-damaged' });
  });

  test('a store that hangs is given up after its step, in every operation', async () => {
    const quick = await openS3({ retry: { ...retry, attempts: 2 }, stepMs: 200 }, realS3(), proxy.url);
    const bytes = randomBytes(MIB);
    expect(await quick.put(KEY, bytes, factsOf(bytes))).toBe('created');
    const read = await quick.get(KEY);
    proxy.fault = () => ({ hang: true });
    const down = { code: 'store-unavailable' };
    await expect(quick.get(KEY)).rejects.toMatchObject(down);
    await expect(drain(read?.body)).rejects.toMatchObject(down);
    await expect(quick.put('v/x/p/1', bytes, factsOf(bytes))).rejects.toMatchObject(down);
    await expect(quick.put('v/x/p/2', pieces(bytes), factsOf(bytes))).rejects.toMatchObject(down);
    await expect(quick.delete(KEY)).rejects.toMatchObject(down);
    quick.close();
  });

  test('a slow sender costs no deadline', async () => {
    const bytes = randomBytes(MIB);
    const slow = (async function* () {
      for await (const piece of pieces(bytes, 300_000)) {
        await new Promise((resume) => setTimeout(resume, 600)); // longer than a step of the store
        yield piece;
      }
    })();
    expect(await store.put(KEY, slow, factsOf(bytes))).toBe('created');
  });

  test('a clock that differs is learned from the refusal', async () => {
    const skewed = await openS3({ retry }, realS3());
    const now = Date.now;
    const bytes = randomBytes(1000);
    Date.now = () => now() + 3600_000;
    const RealDate = Date;
    globalThis.Date = class extends RealDate {
      constructor(...args: [] | [number | string]) {
        if (args.length === 0) super(now() + 3600_000);
        else super(args[0]);
      }
    } as DateConstructor;
    try {
      expect(await skewed.put(KEY, bytes, factsOf(bytes))).toBe('created');
      await holds(skewed, KEY, bytes);
    } finally {
      globalThis.Date = RealDate;
      Date.now = now;
      skewed.close();
    }
  });
});

/** Compares without jest, whose equality takes seconds for a MiB. */
async function holds(of: S3Store, key: string, bytes: Buffer): Promise<void> {
  expect((await readBlob(of, key, bytes.length))?.equals(bytes)).toBe(true);
}

async function drain(body: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  for await (const _ of body ?? []);
}
