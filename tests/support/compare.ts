import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';

export interface CompareOptions {
  /** Modification times to the microsecond, of files and folders; on by default. */
  readonly times?: boolean;
  /** The nine permission bits; on by default. */
  readonly modes?: boolean;
}

/**
 * Compares two folders byte for byte: names, kinds, contents, permission bits, modification times (µs), link targets.
 * Gives one line per difference, sorted; none when they are equal. The two folders themselves may differ.
 */
export function differences(expected: string, actual: string, options: CompareOptions = {}): string[] {
  const [left, right] = [describeTree(expected, options), describeTree(actual, options)];
  const found: string[] = [];
  for (const [path, facts] of left) {
    const other = right.get(path);
    if (other === undefined) found.push(`${path}: missing (${facts})`);
    else if (other !== facts) found.push(`${path}: ${other} instead of ${facts}`);
  }
  for (const [path, facts] of right) if (!left.has(path)) found.push(`${path}: too much (${facts})`);
  return found.sort();
}

/** Every path below `root` with its facts in one line; equal maps mean equal folders. */
export function describeTree(root: string, { times = true, modes = true }: CompareOptions = {}): Map<string, string> {
  const tree = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      const stat = lstatSync(path, { bigint: true });
      const facts = [kindAndContent(path, stat)];
      if (modes && !stat.isSymbolicLink()) facts.push((stat.mode & 0o777n).toString(8));
      if (times && !stat.isSymbolicLink()) facts.push(`${stat.mtimeNs / 1000n} µs`);
      tree.set(relative(root, path), facts.join(' '));
      if (stat.isDirectory()) walk(path);
    }
  };
  walk(root);
  return tree;
}

function kindAndContent(path: string, stat: { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean }) {
  if (stat.isDirectory()) return 'folder';
  if (stat.isSymbolicLink()) return `link → ${readlinkSync(path)}`;
  if (!stat.isFile()) return 'special';
  const content = readFileSync(path);
  return `file ${content.length} ${createHash('sha256').update(content).digest('hex')}`;
}

/** Sum of the sizes of all files below `root`, in bytes, and how many there are. */
export function sizeOf(root: string): { files: number; bytes: number } {
  let [files, bytes] = [0, 0];
  for (const entry of readdirSync(root, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    files += 1;
    bytes += lstatSync(join(entry.parentPath, entry.name)).size;
  }
  return { files, bytes };
}

/** Copies a tree with its times to the nanosecond: `fs.cp` rounds them, now and then to another microsecond. */
export function copyTree(from: string, to: string): void {
  execFileSync('cp', ['-aT', from, to]);
}
