import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Pool } from '../compute/pool.ts';
import { AgentError } from '../errors.ts';
import { onDisk } from '../local/files.ts';
import { EarlySync } from './durable.ts';
import { eachAtOnce } from './lanes.ts';
import type { Plan, PlannedFile } from './plan.ts';
import { Slices, stopWhenAborted } from './slices.ts';
import type { Damage, RestoreSource } from './source.ts';

const HASHES_AT_ONCE = 4;

export interface WriteContext {
  readonly plan: Plan;
  readonly source: RestoreSource;
  /** Root of the tree being written. */
  readonly tree: string;
  readonly pool: Pool;
  readonly signal: AbortSignal | undefined;
  /** Files that an interrupted run left here and that may count again. */
  readonly reused: boolean;
  readonly advanced: (files: number, bytes: number) => void;
}

/**
 * Writes folders and files of the plan. A file counts once its SHA-256 is right. What cannot be restored is returned, never
 * left half-written.
 */
export async function writeTree(context: WriteContext): Promise<Damage> {
  const { plan, tree, pool, signal, source, advanced } = context;
  const slices = new Slices(signal);
  for (const { placed } of plan.folders) {
    if (slices.due) await slices.pause();
    onDisk(tree, () => mkdirSync(join(tree, placed), { recursive: true, mode: 0o700 }));
  }
  const done = context.reused ? await stillGood(context) : new Set<number>();
  const damage: Damage = new Map();
  await using early = new EarlySync(tree, signal);
  const noted = (files: number, bytes: number): void => {
    early.written(bytes);
    advanced(files, bytes);
  };
  await source.fill({ plan, tree, pool, signal, done, damage, advanced: noted });
  for (const file of damage.keys()) rmSync(pathOf(context, file), { force: true });
  return damage;
}

function pathOf({ plan, tree }: WriteContext, file: number): string {
  return join(tree, (plan.files[file] as PlannedFile).placed);
}

/** What an interrupted restore wrote counts when it has its hash; the rest is removed and written again (F-18). */
async function stillGood(context: WriteContext): Promise<Set<number>> {
  const done = new Set<number>();
  await eachAtOnce(HASHES_AT_ONCE, context.plan.files.keys(), async (index) => {
    stopWhenAborted(context.signal);
    const path = pathOf(context, index);
    const { node } = context.plan.files[index] as PlannedFile;
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return;
    // it may have its final mode already, and is to be read now and finished again
    if (found.isFile() && (found.mode & 0o600) !== 0o600) chmodSync(path, 0o600);
    if (found.isFile() && found.size === node.size && (await hasHash(context, index))) {
      done.add(index);
      context.advanced(1, node.size);
    } else rmSync(path, { recursive: true, force: true });
  });
  return done;
}

async function hasHash(context: WriteContext, index: number): Promise<boolean> {
  const { node } = context.plan.files[index] as PlannedFile;
  return (await context.pool.run({ type: 'hashFile', path: pathOf(context, index) })) === node.sha256;
}

/** Turns what was damaged into the error of a restore that takes all files or none. */
export function allOrNothing(plan: Plan, damage: Damage): AgentError {
  const files = [...damage].map(([index, reason]) => ({ path: (plan.files[index] as PlannedFile).node.path, reason }));
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return new AgentError('integrity', `${files.length} files cannot be restored`, {
    key: 'error.restore-damaged',
    hint: 'hint.restore-to',
    params: { count: files.length, first: files[0]?.path ?? '' },
    details: { files },
  });
}
