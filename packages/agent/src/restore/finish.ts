import { chmodSync, lutimesSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { FinishJob } from '../compute/jobs.ts';
import type { Pool } from '../compute/pool.ts';
import { diskError, onDisk, syncFolder } from '../local/files.ts';
import { syncFileSystem } from './durable.ts';
import { eachAtOnce } from './lanes.ts';
import type { Plan } from './plan.ts';
import { Slices, stopWhenAborted } from './slices.ts';
import type { Damage } from './source.ts';

/** Enough to make a message to a worker cheap, and few enough that Ctrl-C waits for none of them. */
const FILES_A_JOB = 256;
const JOBS_AT_ONCE = 4;

/** Something in the tree that gets its time (µs since 1970) and mode. */
export interface Unfinished {
  /** Relative, `/` between parts. */
  readonly placed: string;
  readonly mtime: number;
  readonly mode: number;
}

/** What is left to do in a tree whose contents are written. */
export interface Finishing {
  readonly files: readonly Unfinished[];
  /** A folder comes before what is in it. */
  readonly folders: readonly Unfinished[];
  readonly links: readonly { readonly placed: string; readonly mtime: number; readonly target: string }[];
}

/** What a plan leaves to do, without the files that could not be had. */
export function finishingOf(plan: Plan, damage: Damage): Finishing {
  const good = plan.files.filter((_, index) => !damage.has(index));
  return {
    files: good.map(({ node: { mtime, mode }, placed }) => ({ placed, mtime, mode: mode & 0o777 })),
    folders: plan.folders.map(({ node: { mtime, mode }, placed }) => ({ placed, mtime, mode: mode & 0o777 })),
    links: plan.links.map(({ node: { mtime, target }, placed }) => ({ placed, mtime, target })),
  };
}

/**
 * Gives the written tree its modes and times, makes it durable and adds its links: last of all, so that nothing is ever
 * written through one (MS-33). Folders come after what is in them, the deepest first. Everything is made durable once per
 * restore, before the swap: all-or-nothing needs no more (measured).
 * @throws AgentError `interrupted`, `disk-full`, `read-only`, `permission`
 */
export async function finishTree(
  finishing: Finishing,
  tree: string,
  pool: Pool,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { files, links, folders } = finishing;
  const wholesale = await syncFileSystem(tree, files.length, signal);
  await eachAtOnce(JOBS_AT_ONCE, finishJobs(files, tree, !wholesale), async (job) => {
    stopWhenAborted(signal);
    const failed = await pool.run(job);
    if (failed) throw diskError(Object.assign(new Error(`${failed.code}: ${failed.path}`), failed), failed.path);
  });
  const slices = new Slices(signal);
  for (const { placed, mtime, target } of links) {
    if (slices.due) await slices.pause();
    const path = join(tree, placed);
    onDisk(path, () => {
      symlinkSync(target, path);
      lutimesSync(path, seconds(mtime), seconds(mtime));
    });
  }
  for (const { placed, mtime, mode } of folders.toReversed()) {
    if (slices.due) await slices.pause();
    const path = join(tree, placed);
    onDisk(path, () => {
      if (!wholesale) syncFolder(path);
      utimesSync(path, seconds(mtime), seconds(mtime));
      chmodSync(path, mode);
    });
  }
  onDisk(tree, () => syncFolder(tree));
  if (wholesale) await syncAgain(files.length, tree, signal);
}

/** Modes, times, links and names, after the contents. What failed here after it just worked is the disk. */
async function syncAgain(files: number, tree: string, signal: AbortSignal | undefined): Promise<void> {
  const durable = await syncFileSystem(tree, files, signal);
  stopWhenAborted(signal);
  if (!durable) throw Object.assign(new Error(`EIO: the disk did not take ${tree}`), { code: 'EIO' });
}

function* finishJobs(files: readonly Unfinished[], tree: string, sync: boolean): Generator<FinishJob> {
  for (let from = 0; from < files.length; from += FILES_A_JOB)
    yield {
      type: 'finish',
      sync,
      files: files.slice(from, from + FILES_A_JOB).map(({ placed, mode, mtime }) => ({
        path: join(tree, placed),
        mode,
        mtime: seconds(mtime),
      })),
    };
}

/** µs as the seconds that utimes takes; a quarter µs more, so that rounding in a double never falls below. */
function seconds(micros: number): number {
  return (micros + 0.25) / 1e6;
}
