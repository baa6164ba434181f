import { chmodSync, lutimesSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { FinishJob } from '../compute/jobs.ts';
import type { Pool } from '../compute/pool.ts';
import { AgentError } from '../errors.ts';
import { diskError, onDisk, syncFolder } from '../local/files.ts';
import { syncFileSystem } from './durable.ts';
import { eachAtOnce } from './lanes.ts';
import type { Plan } from './plan.ts';
import type { Damage } from './write.ts';

/** Enough to make a message to a worker cheap, and few enough that Ctrl-C waits for none of them. */
const FILES_A_JOB = 256;
const JOBS_AT_ONCE = 4;
/** Folders are synced here, with a pause for signals after so many. */
const FOLDERS_A_SLICE = 64;

/**
 * Gives the written tree its modes and times, makes it durable and adds its links: last of all, so that nothing is ever
 * written through one (MS-33). Folders come after what is in them, the deepest first. Everything is made durable once per
 * restore, before the swap: all-or-nothing needs no more (measured).
 * @throws AgentError `interrupted`, `disk-full`, `read-only`, `permission`
 */
export async function finishTree(
  plan: Plan,
  tree: string,
  damage: Damage,
  pool: Pool,
  signal: AbortSignal | undefined,
): Promise<void> {
  const wholesale = await syncFileSystem(tree, plan.files.length, signal);
  await eachAtOnce(JOBS_AT_ONCE, finishJobs(plan, tree, damage, !wholesale), async (job) => {
    stopWhenAborted(signal);
    const failed = await pool.run(job);
    if (failed) throw diskError(Object.assign(new Error(`${failed.code}: ${failed.path}`), failed), failed.path);
  });
  for (const { node, placed } of plan.links) {
    const path = join(tree, placed);
    onDisk(path, () => {
      symlinkSync(node.target, path);
      lutimesSync(path, seconds(node.mtime), seconds(node.mtime));
    });
  }
  let done = 0;
  for (const { node, placed } of plan.folders.toReversed()) {
    const path = join(tree, placed);
    onDisk(path, () => {
      if (!wholesale) syncFolder(path);
      utimesSync(path, seconds(node.mtime), seconds(node.mtime));
      chmodSync(path, node.mode & 0o777);
    });
    done += 1;
    if (done % FOLDERS_A_SLICE === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      stopWhenAborted(signal);
    }
  }
  onDisk(tree, () => syncFolder(tree));
  if (wholesale) await syncAgain(plan, tree, signal);
}

/** Modes, times, links and names, after the contents. What failed here after it just worked is the disk. */
async function syncAgain({ files }: Plan, tree: string, signal: AbortSignal | undefined): Promise<void> {
  const durable = await syncFileSystem(tree, files.length, signal);
  stopWhenAborted(signal);
  if (!durable) throw Object.assign(new Error(`EIO: the disk did not take ${tree}`), { code: 'EIO' });
}

function* finishJobs({ files }: Plan, tree: string, damage: Damage, sync: boolean): Generator<FinishJob> {
  for (let from = 0; from < files.length; from += FILES_A_JOB) {
    const slice = files.slice(from, from + FILES_A_JOB).filter((_, index) => !damage.has(from + index));
    yield {
      type: 'finish',
      sync,
      files: slice.map(({ node, placed }) => ({
        path: join(tree, placed),
        mode: node.mode & 0o777,
        mtime: seconds(node.mtime),
      })),
    };
  }
}

function stopWhenAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AgentError('interrupted', 'interrupted');
}

/** µs as the seconds that utimes takes; a quarter µs more, so that rounding in a double never falls below. */
function seconds(micros: number): number {
  return (micros + 0.25) / 1e6;
}
