import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { onDisk } from '../local/files.ts';
import type { Plan } from './plan.ts';

export interface Changes {
  /** In the snapshot, not on disk. */
  readonly added: number;
  /** In both, different. */
  readonly changed: number;
  /** On disk, not in the snapshot. */
  readonly removed: number;
}

export interface Comparison {
  readonly changes: Changes;
  /** Files on disk that were modified after the snapshot was made. */
  readonly newer: readonly string[];
}

/** What replacing a folder by the plan's tree changes in it, files and links; nothing is written. */
export function compareTree(folder: string, plan: Plan, snapshotAt: number): Comparison {
  const files = new Map(plan.files.map(({ node, placed }) => [placed, node]));
  const links = new Map(plan.links.map(({ node, placed }) => [placed, node]));
  const newer: string[] = [];
  let changed = 0;
  let removed = 0;
  let same = 0;
  for (const { path, stats } of filesIn(folder, '')) {
    if (stats.mtimeMs > snapshotAt) newer.push(path);
    const file = files.get(path);
    const link = links.get(path);
    if (file === undefined && link === undefined) removed += 1;
    else if (file !== undefined && isSameFile(join(folder, path), stats, file)) same += 1;
    else if (link !== undefined && stats.isSymbolicLink() && readlinkSync(join(folder, path)) === link.target)
      same += 1;
    else changed += 1;
  }
  return { changes: { added: files.size + links.size - changed - same, changed, removed }, newer };
}

interface Found {
  readonly path: string;
  readonly stats: Stats;
}

function* filesIn(root: string, relative: string): Generator<Found> {
  const folder = join(root, relative);
  for (const item of onDisk(folder, () => readdirSync(folder, { withFileTypes: true }))) {
    const path = relative === '' ? item.name : `${relative}/${item.name}`;
    if (item.isDirectory()) yield* filesIn(root, path);
    else {
      const stats = lstatSync(join(root, path), { throwIfNoEntry: false });
      if (stats !== undefined) yield { path, stats };
    }
  }
}

/** Size and time decide; when only the time differs, the content does. */
function isSameFile(path: string, stats: Stats, node: { size: number; mtime: number; sha256: string }): boolean {
  if (!stats.isFile() || stats.size !== node.size) return false;
  if (Math.floor(stats.mtimeMs) === Math.floor(node.mtime / 1000)) return true;
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex') === node.sha256;
  } catch {
    return false; // what cannot be read cannot be called the same
  }
}
