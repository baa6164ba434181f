import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type MandateKeys, type PackId, type PackRef, ProtocolError, readPackHeader } from '@cresus-safe/protocol';
import type { UnpackResult, UnpackWrite } from '../compute/jobs.ts';
import { toAgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { onDisk } from '../local/files.ts';
import { isDamage, type PackReader } from '../vault/vault.ts';
import { eachAtOnce } from './lanes.ts';
import type { PlannedFile, Run } from './plan.ts';
import { Slices, stopWhenAborted } from './slices.ts';
import type { Damage, Filling } from './source.ts';

/** Fetched, opened and written at the same time; the pool has as many places for packs. */
const LANES = 3;
const HASHES_AT_ONCE = 4;

export interface PackFilling extends Filling {
  readonly reader: PackReader;
  readonly keys: MandateKeys;
  readonly packIds: ReadonlyMap<PackRef, PackId>;
  /** Packs that are in memory already. */
  readonly spare: Map<PackId, Uint8Array>;
  /** Whether the pack's chunk ids are wanted, and who gets them. */
  readonly learns: (packRef: PackRef) => boolean;
  readonly learn: (packId: PackId, result: UnpackResult) => Promise<void>;
  /** Whether the packs come from this computer's own disk. */
  readonly local: boolean;
}

/**
 * Writes the files of a plan pack by pack. A file counts once its SHA-256 is right; packs that are damaged are fetched once
 * more.
 */
export async function writeFromPacks(context: PackFilling): Promise<void> {
  const { plan, done, damage } = context;
  await prepareFiles(context);
  const assembled = new Assembled(context);
  const wanted = [...plan.packs].filter(([, runs]) => runs.some(({ file }) => !done.has(file)));
  await eachAtOnce(LANES, wanted, async ([packRef, runs]) => {
    stopWhenAborted(context.signal);
    const open = runs.filter(({ file }) => !done.has(file));
    await restorePack(context, packRef, open, damage);
    assembled.written(open);
  });
  await assembled.verified();
}

/** Whether a file lies in one run: then it is written and hashed in one go. */
function isSingle({ node }: PlannedFile): boolean {
  return node.extents.length === 1;
}

function pathOf({ plan, tree }: Filling, file: number): string {
  return join(tree, (plan.files[file] as PlannedFile).placed);
}

/** Empty files, and those that are put together from several runs, are made here; the workers then write into them. */
async function prepareFiles(context: PackFilling): Promise<void> {
  const slices = new Slices(context.signal);
  for (const [index, file] of context.plan.files.entries()) {
    if (slices.due) await slices.pause();
    if (context.done.has(index) || isSingle(file)) continue;
    const path = pathOf(context, index);
    onDisk(path, () => closeSync(openSync(path, 'wx', 0o600)));
    if (file.node.size === 0) context.advanced(1, 0);
  }
}

async function restorePack(
  context: PackFilling,
  packRef: PackRef,
  runs: readonly Run[],
  damage: Damage,
): Promise<void> {
  const packId = context.packIds.get(packRef);
  try {
    if (packId === undefined) throw new ProtocolError('integrity', 'a file names a pack that the record does not list');
    let again = false;
    const result = await context.reader.twice(packId, () => {
      if (again) removeSingle(context, runs);
      again = true;
      return unpack(context, packRef, packId, runs);
    });
    compareDigests(context, runs, result.digests, damage);
    if (context.learns(packRef)) await context.learn(packId, result);
  } catch (error) {
    const typed = toAgentError(error);
    const missing = typed.kind === 'not-found' || typed.kind === 'omission';
    if (!missing && !isDamage(error)) throw typed;
    for (const { file } of runs) damage.set(file, missing ? 'missing' : 'damaged');
  }
}

/** What a first try wrote of a pack that then was damaged: the place of a whole file must be free. */
function removeSingle(context: PackFilling, runs: readonly Run[]): void {
  for (const { file } of runs)
    if (isSingle(context.plan.files[file] as PlannedFile)) rmSync(pathOf(context, file), { force: true });
}

/** Fetches a pack into a slot of the pool and has a worker verify, open and write it. */
async function unpack(
  context: PackFilling,
  packRef: PackRef,
  packId: PackId,
  runs: readonly Run[],
): Promise<UnpackResult> {
  const { pool, keys } = context;
  const slot = await pool.packs.take();
  try {
    const pack = await take(context, packId, (length) => pool.arena.pack(slot).subarray(0, length));
    const { generation, packRef: ownRef } = readPackHeader(pack);
    if (ownRef !== packRef) throw new ProtocolError('integrity', 'pack: its packRef is not that of the record');
    crashPoint('restore-write');
    const writes = runs.map((run) => writeOf(context, run));
    const chunks = context.learns(packRef);
    return await pool.run({
      type: 'unpack',
      slot,
      length: pack.length,
      packId,
      mandateRef: keys.ref,
      packKey: keys.packKey(generation),
      writes,
      chunks,
      nameChecked: context.local && !chunks,
    });
  } finally {
    pool.packs.release(slot);
  }
}

async function take(context: PackFilling, packId: PackId, into: (length: number) => Uint8Array): Promise<Uint8Array> {
  const spare = context.spare.get(packId);
  if (spare === undefined) return context.reader.fetch(packId, into);
  context.spare.delete(packId);
  const place = into(spare.length);
  place.set(spare);
  return place;
}

function writeOf(context: PackFilling, run: Run): UnpackWrite & { target: string } {
  const single = isSingle(context.plan.files[run.file] as PlannedFile);
  const { segment, offset, length, position } = run;
  const target = pathOf(context, run.file);
  return single
    ? { target, position, segment, offset, length, digest: true }
    : { target, position, segment, offset, length, exists: true };
}

/** A pack that opened is what was stored: a file whose hash still differs was damaged before, and alone. */
function compareDigests(context: PackFilling, runs: readonly Run[], digests: readonly string[], damage: Damage): void {
  const single = runs.filter(({ file }) => isSingle(context.plan.files[file] as PlannedFile));
  let good = 0;
  single.forEach(({ file }, index) => {
    const { node } = context.plan.files[file] as PlannedFile;
    if (digests[index] === node.sha256) good += 1;
    else damage.set(file, 'damaged');
  });
  context.advanced(
    good,
    runs.reduce((sum, { length }) => sum + length, 0),
  );
}

/**
 * Files put together from several runs: only the whole has the hash of the catalog, so each is read back as soon as its last
 * run is written, while other packs are on their way.
 */
class Assembled {
  readonly #context: PackFilling;
  /** Runs not yet written, by file. */
  readonly #left = new Map<number, number>();
  /** Files whose runs are all written. */
  readonly #whole: number[] = [];
  readonly #lanes = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;

  constructor(context: PackFilling) {
    this.#context = context;
    for (const [index, { node }] of context.plan.files.entries())
      if (node.extents.length > 1 && !context.done.has(index)) this.#left.set(index, node.extents.length);
  }

  /** Notes that these runs are on the disk, or never will be. */
  written(runs: readonly Run[]): void {
    for (const { file } of runs) {
      const left = this.#left.get(file);
      if (left === undefined) continue;
      this.#left.set(file, left - 1);
      if (left === 1) this.#whole.push(file);
    }
    if (this.#whole.length > 0 && this.#lanes.size < HASHES_AT_ONCE) this.#open();
  }

  /** Resolves when all were read back; those that differ are damage. @throws what reading back threw */
  async verified(): Promise<void> {
    while (this.#lanes.size > 0 || (this.#whole.length > 0 && !this.#failure)) {
      while (this.#lanes.size < HASHES_AT_ONCE && this.#whole.length > 0) this.#open();
      await Promise.all(this.#lanes);
    }
    if (this.#failure) throw this.#failure.error;
  }

  #open(): void {
    const lane = this.#lane();
    this.#lanes.add(lane);
    void lane.then(() => this.#lanes.delete(lane));
  }

  /** Never rejects: other packs may be on their way, and what failed is told at the end. */
  async #lane(): Promise<void> {
    try {
      for (let next = this.#whole.pop(); next !== undefined && !this.#failure; next = this.#whole.pop())
        await this.#verify(next);
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  async #verify(index: number): Promise<void> {
    const { plan, damage, pool, signal } = this.#context;
    if (damage.has(index)) return;
    stopWhenAborted(signal);
    const { node } = plan.files[index] as PlannedFile;
    const isRight = (await pool.run({ type: 'hashFile', path: pathOf(this.#context, index) })) === node.sha256;
    if (isRight) this.#context.advanced(1, 0);
    else damage.set(index, 'damaged');
  }
}
