import { createHash, randomBytes } from 'node:crypto';
import { ServerError } from '../errors.ts';
import { S3Store } from './s3-store.ts';
import type { BlobFacts, BlobStore, ByteRange } from './store.ts';

/** The largest object there is: a pack (SPEC 17). */
const LARGEST = 17 * 1024 * 1024;
const RACERS = 8;
const ROUNDS = 9;

/** Without what is `needed` backups can be lost; without what is `wished` something else must make up for it. */
export type Need = 'needed' | 'wished';

/** One check: which one, and how it went. */
export interface CheckReport {
  readonly name: CheckName;
  readonly need: Need;
  readonly result: 'passed' | 'failed' | 'not-applicable';
  /** What was seen, in English as in a log; undefined unless failed. */
  readonly detail?: string;
}

/** What was found out about a store. */
export interface StoreReport {
  /** Whether everything needed passed. */
  readonly ok: boolean;
  readonly checks: readonly CheckReport[];
  /** Medians of one operation on 4 KiB, ms; undefined when one of them failed. */
  readonly latencyMs: Readonly<Record<'put' | 'get' | 'stat' | 'delete', number>> | undefined;
  /** Objects of this run that could not be removed. */
  readonly leftBehind: number;
}

/** What a check works with: the store and keys that nobody else uses and that are removed at the end. */
interface Trial {
  readonly blobs: BlobStore;
  /** The beginning of every key of this run. */
  readonly own: string;
  key(name: string): string;
}

type Run = (trial: Trial) => Promise<undefined | 'not-applicable'>;

class CheckFailed extends Error {}

const CHECKS = [
  { name: 'whole', need: 'needed', run: readsWhole },
  { name: 'range', need: 'needed', run: readsRanges },
  { name: 'stat', need: 'needed', run: tellsLengths },
  { name: 'fresh', need: 'needed', run: showsAtOnce },
  { name: 'overwrite', need: 'needed', run: leavesTheFirstAlone },
  { name: 'race', need: 'needed', run: keepsAWinner },
  { name: 'single-creator', need: 'wished', run: tellsOneWinner },
  { name: 'conditional', need: 'wished', run: honoursIfNoneMatch },
  { name: 'wrong-bytes', need: 'needed', run: refusesWrongBytes },
  { name: 'delete', need: 'needed', run: removes },
  { name: 'large', need: 'needed', run: takesTheLargest },
  { name: 'list', need: 'wished', run: listsWhatIsThere },
] as const satisfies readonly { name: string; need: Need; run: Run }[];

export type CheckName = (typeof CHECKS)[number]['name'];

/**
 * Tries out, on objects `probe/<random>-…` of its own, whether a store keeps the contract in `store.ts`. Harms nothing
 * beside running servers. Its objects are removed in the end, also after failures.
 *
 * @param signal stops it before the next check
 * @throws what `signal` was aborted with; what a check meets is in the report
 */
export async function verifyStore(blobs: BlobStore, signal?: AbortSignal): Promise<StoreReport> {
  const own = `probe/${randomBytes(8).toString('hex')}-`;
  const keys = new Set<string>();
  const key = (name: string) => {
    keys.add(own + name);
    return own + name;
  };
  const trial: Trial = { blobs, own, key };
  const checks: CheckReport[] = [];
  let latencyMs: StoreReport['latencyMs'];
  let leftBehind = 0;
  try {
    for (const check of CHECKS) {
      signal?.throwIfAborted();
      checks.push(await report(check, trial));
    }
    signal?.throwIfAborted();
    latencyMs = await measure(trial).catch(() => undefined); // a check has told why
  } finally {
    leftBehind = await cleanUp(blobs, [...keys]);
  }
  const ok = checks.every(({ need, result }) => need === 'wished' || result !== 'failed');
  return { ok, checks, latencyMs, leftBehind };
}

async function report({ name, need, run }: (typeof CHECKS)[number], trial: Trial): Promise<CheckReport> {
  try {
    return { name, need, result: (await run(trial)) ?? 'passed' };
  } catch (error) {
    return { name, need, result: 'failed', detail: detailOf(error) };
  }
}

function detailOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof ServerError)) return error.message;
  return error.cause instanceof Error ? `${error.code}: ${error.cause.message}` : error.code;
}

/** All at once, so that a store that has died does not take its time for each. @returns how many are still there */
async function cleanUp(blobs: BlobStore, keys: readonly string[]): Promise<number> {
  const removed = await Promise.allSettled(
    keys.map(async (key) => {
      await blobs.delete(key);
      return (await blobs.stat(key)) === undefined;
    }),
  );
  return removed.filter((outcome) => outcome.status === 'rejected' || !outcome.value).length;
}

async function readsWhole({ blobs, key }: Trial): Promise<undefined> {
  await putAndReadBack(blobs, key('whole'), randomBytes(100_001));
}

async function takesTheLargest({ blobs, key }: Trial): Promise<undefined> {
  const bytes = randomBytes(LARGEST);
  const name = key('large');
  await putAndReadBack(blobs, name, bytes);
  await sameRange(blobs, name, bytes, { start: LARGEST - 1_000_000, end: LARGEST - 1 });
}

async function readsRanges({ blobs, key }: Trial): Promise<undefined> {
  const bytes = randomBytes(300_001);
  const name = key('range');
  await create(blobs, name, bytes);
  for (const [start, end] of [
    [0, 0],
    [1, 70_000],
    [262_143, 262_145],
    [300_000, 300_000],
  ] as const)
    await sameRange(blobs, name, bytes, { start, end });
}

async function tellsLengths({ blobs, key }: Trial): Promise<undefined> {
  const name = key('stat');
  await create(blobs, name, randomBytes(12_345));
  const found = await blobs.stat(name);
  must(found?.length === 12_345, `length ${found?.length ?? 'missing'}, not 12345`);
  must((await blobs.stat(key('nothing'))) === undefined, 'an object that was never written has a length');
  must((await blobs.get(key('nothing'))) === undefined, 'an object that was never written can be read');
}

/** A store or a cache before it that remembers "there is none" shows here: each key is asked for before it is written. */
async function showsAtOnce({ blobs, key }: Trial): Promise<undefined> {
  for (let round = 1; round <= ROUNDS; round++) {
    const name = key(`fresh-${round}`);
    const bytes = randomBytes(1000);
    must((await blobs.stat(name)) === undefined, 'an object was there before it was written');
    await create(blobs, name, bytes);
    must(
      (await blobs.stat(name)) !== undefined,
      `object ${round} of ${ROUNDS} had no length just after it was written`,
    );
    must(await holds(blobs, name, bytes), `object ${round} of ${ROUNDS} could not be read just after it was written`);
  }
}

async function leavesTheFirstAlone({ blobs, key }: Trial): Promise<undefined> {
  const name = key('overwrite');
  const first = randomBytes(1000);
  const second = randomBytes(1000);
  await create(blobs, name, first);
  const answer = await blobs.put(name, second, factsOf(second));
  must(await holds(blobs, name, first), 'the second put replaced the first');
  must(answer === 'exists', `the second put was answered with "${answer}"`);
}

async function keepsAWinner({ blobs, key }: Trial): Promise<undefined> {
  const name = key('race');
  const winners = await race(blobs, name);
  must(winners.length > 0, 'nobody was told to have created the object');
  const held = await Promise.all(winners.map((bytes) => holds(blobs, name, bytes)));
  must(held.includes(true), 'the object is not what a writer who was told to have created it wrote');
}

async function tellsOneWinner({ blobs, key }: Trial): Promise<undefined> {
  const winners = await race(blobs, key('single-creator'));
  must(winners.length === 1, `${winners.length} of ${RACERS} writers were told to have created the object`);
}

/** Writers of different bytes under one key at the same moment. @returns what those wrote who were told to have created it */
async function race(blobs: BlobStore, key: string): Promise<Buffer[]> {
  const bodies = Array.from({ length: RACERS }, () => randomBytes(64 * 1024));
  // all of them must have ended before anything else happens, or one would write after the clean-up
  const answers = await Promise.allSettled(bodies.map((bytes) => blobs.put(key, bytes, factsOf(bytes))));
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  return bodies.filter((_, i) => (answers[i] as PromiseFulfilledResult<string>).value === 'created');
}

async function honoursIfNoneMatch({ blobs }: Trial): Promise<undefined | 'not-applicable'> {
  if (!(blobs instanceof S3Store)) return 'not-applicable';
  must(await blobs.isConditional(), 'If-None-Match: * is not honoured');
  return undefined;
}

async function refusesWrongBytes({ blobs, key }: Trial): Promise<undefined> {
  const bytes = randomBytes(100_000);
  const facts = factsOf(bytes);
  const other = Buffer.from(bytes);
  other[50_000] = (other[50_000] ?? 0) ^ 1;
  for (const [name, body] of [
    ['other-bytes', other],
    ['other-stream', pieces(other)],
    ['short-stream', pieces(bytes.subarray(1))],
    ['long-stream', pieces(Buffer.concat([bytes, Buffer.alloc(1)]))],
  ] as const) {
    const refused = await blobs.put(key(name), body, facts).then(
      () => false,
      (error: unknown) => isMismatch(error),
    );
    must((await blobs.stat(key(name))) === undefined, `${name}: left an object behind`);
    must(refused, `${name}: taken, although it has another hash`);
  }
}

function isMismatch(error: unknown): true {
  if (error instanceof ServerError && error.code === 'hash-mismatch') return true;
  throw error;
}

async function removes({ blobs, key }: Trial): Promise<undefined> {
  const name = key('delete');
  const bytes = randomBytes(1000);
  await create(blobs, name, bytes);
  await blobs.delete(name);
  must((await blobs.stat(name)) === undefined, 'a deleted object still has a length');
  must((await blobs.get(name)) === undefined, 'a deleted object can still be read');
  await blobs.delete(name);
  const again = randomBytes(1000);
  await create(blobs, name, again);
  must(await holds(blobs, name, again), 'what was written after the deletion could not be read');
}

async function listsWhatIsThere({ blobs, own, key }: Trial): Promise<undefined> {
  const names = [key('list-1'), key('list-2'), key('list-3')];
  for (const name of names) await create(blobs, name, Buffer.from(name));
  must((await listed(blobs, own)) === names.join(), 'new objects are not listed');
  await blobs.delete(names[0] ?? '');
  must((await listed(blobs, own)) === names.slice(1).join(), 'a deleted object is still listed');
}

async function listed(blobs: BlobStore, own: string): Promise<string> {
  const found: string[] = [];
  for await (const key of blobs.list('probe/')) if (key.startsWith(`${own}list-`)) found.push(key);
  return found.sort().join();
}

async function measure({ blobs, key }: Trial): Promise<StoreReport['latencyMs']> {
  const bytes = randomBytes(4096);
  const times: Record<'put' | 'get' | 'stat' | 'delete', number[]> = { put: [], get: [], stat: [], delete: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const name = key(`latency-${round}`);
    times.put.push(await timed(() => blobs.put(name, bytes, factsOf(bytes))));
    times.get.push(await timed(() => holds(blobs, name, bytes)));
    times.stat.push(await timed(() => blobs.stat(name)));
    times.delete.push(await timed(() => blobs.delete(name)));
  }
  return { put: median(times.put), get: median(times.get), stat: median(times.stat), delete: median(times.delete) };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** The middle one, with one decimal. */
function median(times: number[]): number {
  const middle = times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
  return Math.round(middle * 10) / 10;
}

async function create(blobs: BlobStore, key: string, bytes: Buffer): Promise<void> {
  const answer = await blobs.put(key, bytes, factsOf(bytes));
  must(answer === 'created', `a new object was answered with "${answer}"`);
}

async function putAndReadBack(blobs: BlobStore, key: string, bytes: Buffer): Promise<void> {
  const answer = await blobs.put(key, pieces(bytes), factsOf(bytes));
  must(answer === 'created', `a new object was answered with "${answer}"`);
  must(await holds(blobs, key, bytes), 'other bytes came back than were written');
}

async function sameRange(blobs: BlobStore, key: string, bytes: Buffer, range: ByteRange): Promise<void> {
  const part = bytes.subarray(range.start, range.end + 1);
  must(
    await holds(blobs, key, part, range, bytes.length),
    `bytes ${range.start} to ${range.end} are not what was written`,
  );
}

/** Whether exactly these bytes come back, and the right length of the whole. */
async function holds(
  blobs: BlobStore,
  key: string,
  bytes: Buffer,
  range?: ByteRange,
  length = bytes.length,
): Promise<boolean> {
  const read = await blobs.get(key, range);
  if (read?.length !== length) return false;
  const hash = createHash('sha256');
  for await (const piece of read.body) hash.update(piece);
  return hash.digest('hex') === factsOf(bytes).sha256;
}

function factsOf(bytes: Buffer): BlobFacts {
  return { length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** Copies: the pieces of a stream become the store's own. */
async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield Uint8Array.from(bytes.subarray(at, at + 64 * 1024));
}

function must(holdsTrue: boolean, otherwise: string): void {
  if (!holdsTrue) throw new CheckFailed(otherwise);
}
