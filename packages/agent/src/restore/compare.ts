import { createHash } from 'node:crypto';
import { createReadStream, type Dirent, lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { onDisk } from '../local/files.ts';
import type { Plan } from './plan.ts';
import { Slices } from './slices.ts';

export interface Changes {
  /** In the backup, not on disk. */
  readonly added: number;
  /** In both, different. */
  readonly changed: number;
  /** On disk, not in the backup. */
  readonly removed: number;
}

export interface Comparison {
  readonly changes: Changes;
  /** Files on disk that were modified after the backup was made. */
  readonly newer: readonly string[];
}

/** What restoring into nothing changes. */
export function comparedWithNothing({ files, links }: Plan): Comparison {
  return { changes: { added: files.length + links.length, changed: 0, removed: 0 }, newer: [] };
}

/**
 * What replacing a folder by the plan's tree changes in it, files and links; nothing is written.
 * @param partly only what the plan names is replaced, everything else stays
 * @throws AgentError `interrupted`, `permission`
 */
export async function compareTree(
  folder: string,
  plan: Plan,
  { createdAt, partly = false, signal }: { createdAt: number; partly?: boolean; signal?: AbortSignal | undefined },
): Promise<Comparison> {
  const files = new Map(plan.files.map(({ node, placed }) => [placed, node]));
  const links = new Map(plan.links.map(({ node, placed }) => [placed, node]));
  const slices = new Slices(signal);
  const newer: string[] = [];
  let changed = 0;
  let removed = 0;
  let same = 0;
  for (const { path, stats } of filesIn(folder, '')) {
    if (slices.due) await slices.pause();
    const file = files.get(path);
    const link = links.get(path);
    const isKept = file === undefined && link === undefined;
    if (isKept && partly) continue;
    if (stats.mtimeMs > createdAt) newer.push(path);
    if (isKept) removed += 1;
    else if (file !== undefined && (await isSameFile(join(folder, path), stats, file))) same += 1;
    else if (link !== undefined && stats.isSymbolicLink() && readlinkSync(join(folder, path)) === link.target)
      same += 1;
    else changed += 1;
  }
  return { changes: { added: files.size + links.size - changed - same, changed, removed }, newer };
}

/** Changes when any file or link of a folder changes, comes or goes: by size and time. @throws AgentError `permission` */
export function treeStamp(folder: string): string {
  const hash = createHash('sha256');
  for (const { path, stats } of filesIn(folder, ''))
    hash.update(`${path}\0${stats.size} ${Math.floor(stats.mtimeMs)}\n`);
  return hash.digest('hex').slice(0, 32);
}

/** Something that is not a folder. */
export interface Found {
  /** Relative, `/` between parts. */
  readonly path: string;
  readonly stats: Stats;
}

/** Every file and link below a folder. @throws AgentError `permission` */
export function* filesIn(root: string, relative: string): Generator<Found> {
  for (const item of itemsIn(join(root, relative))) {
    const path = relative === '' ? item.name : `${relative}/${item.name}`;
    if (item.isDirectory()) yield* filesIn(root, path);
    else {
      const stats = lstatSync(join(root, path), { throwIfNoEntry: false });
      if (stats !== undefined) yield { path, stats };
    }
  }
}

/** In the order of their names, so that two walks of the same tree meet the same. */
function itemsIn(folder: string): Dirent[] {
  const items = onDisk(folder, () => readdirSync(folder, { withFileTypes: true }));
  return items.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Size and time decide; when only the time differs, the content does. */
async function isSameFile(
  path: string,
  stats: Stats,
  node: { size: number; mtime: number; sha256: string },
): Promise<boolean> {
  if (!stats.isFile() || stats.size !== node.size) return false;
  if (Math.floor(stats.mtimeMs) === Math.floor(node.mtime / 1000)) return true;
  try {
    const hash = createHash('sha256');
    for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    return hash.digest('hex') === node.sha256;
  } catch {
    return false; // what cannot be read cannot be called the same
  }
}
