import { chmodSync, lutimesSync, symlinkSync, utimesSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, onDisk, syncFolder } from '../local/files.ts';
import type { Plan } from './plan.ts';
import type { Damage } from './write.ts';

const SYNCS_AT_ONCE = 8;

/**
 * Gives the written tree its modes and times, makes it durable and adds its links: last of all, so that nothing is ever
 * written through one (MS-33). Folders come after what is in them, the deepest first.
 */
export async function finishTree(plan: Plan, tree: string, damage: Damage): Promise<void> {
  const kept = plan.files.filter((_, index) => !damage.has(index));
  for (const { node, placed } of kept) {
    const path = join(tree, placed);
    onDisk(path, () => {
      chmodSync(path, node.mode & 0o777);
      utimesSync(path, seconds(node.mtime), seconds(node.mtime));
    });
  }
  await syncAll(kept.map(({ placed }) => join(tree, placed)));
  for (const { node, placed } of plan.links) {
    const path = join(tree, placed);
    onDisk(path, () => {
      symlinkSync(node.target, path);
      lutimesSync(path, seconds(node.mtime), seconds(node.mtime));
    });
  }
  for (const { node, placed } of plan.folders.toReversed()) {
    const path = join(tree, placed);
    onDisk(path, () => {
      syncFolder(path);
      utimesSync(path, seconds(node.mtime), seconds(node.mtime));
      chmodSync(path, node.mode & 0o777);
    });
  }
  onDisk(tree, () => syncFolder(tree));
}

/** µs as the seconds that utimes takes; a quarter µs more, so that rounding in a double never falls below. */
function seconds(micros: number): number {
  return (micros + 0.25) / 1e6;
}

/** One fsync of each file, once per restore and before the swap: all-or-nothing needs no more (measured). */
async function syncAll(paths: readonly string[]): Promise<void> {
  const shared = paths.values();
  const lane = async (): Promise<void> => {
    for (const path of shared) await sync(path);
  };
  await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, lane));
}

async function sync(path: string): Promise<void> {
  try {
    const file = await open(path, 'r');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw diskError(error, path);
  }
}
