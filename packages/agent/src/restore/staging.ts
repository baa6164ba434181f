import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AgentError } from '../errors.ts';
import { diskError, onDisk } from '../local/files.ts';
import { foldedKey, type NameRules } from './names.ts';

/**
 * The private folder in which a restore builds the new tree: beside the target, so on its volume, 0700 and made by us.
 * Nobody else can plant a link in it (MS-33, MS-38), and its last step into place is one rename.
 */
export interface Staging {
  readonly dir: string;
  /** The tree that will become the target. */
  readonly tree: string;
  /** An interrupted restore of the same snapshot left files here; each counts only if its hash is right. */
  readonly reused: boolean;
}

const PREFIX = '.cresus-safe-';

/**
 * Makes the staging folder for a target, or takes up the one that an interrupted restore of the same snapshot left, and
 * sweeps those of other snapshots.
 * @throws AgentError `path-missing` when the folder above the target is not there, `permission` when someone else's
 *   folder has that name, `disk-full`, `read-only`
 */
export function openStaging(target: string, snapshotId: string): Staging {
  const parent = dirname(target);
  if (lstatSync(parent, { throwIfNoEntry: false }) === undefined)
    throw new AgentError('path-missing', `no such folder: ${parent}`, { params: { path: parent } });
  const family = `${PREFIX}${createHash('sha256').update(target).digest('hex').slice(0, 12)}-`;
  const dir = join(parent, family + snapshotId.slice(0, 16));
  sweep(parent, family, dir);
  const reused = onDisk(dir, () => takeUp(dir));
  if (!reused) onDisk(dir, () => mkdirSync(dir, { mode: 0o700 }));
  const staging = { dir, tree: join(dir, 'tree'), reused };
  onDisk(dir, () => mkdirSync(staging.tree, { recursive: true }));
  return staging;
}

/** Removes the staging folder that a completed swap left; any other path is none of ours and stays. */
export function sweepStaging(tree: string): void {
  const dir = dirname(tree);
  if (basename(dir).startsWith(PREFIX)) onDisk(dir, () => rmSync(dir, { recursive: true, force: true }));
}

/** Removes what is left of a staging folder; with its tree when that did not go into place. */
export function discardStaging(staging: Staging): void {
  onDisk(staging.dir, () => rmSync(staging.dir, { recursive: true, force: true }));
}

/**
 * Before an interrupted restore is taken up: removes from its tree all that the plan does not place there, and every
 * link, so that no path of ours leads through one.
 * @param placed relative paths of the folders and files of the plan
 */
export function cleanTree(tree: string, placed: { has(path: string): boolean }): void {
  const walk = (folder: string, relative: string): void => {
    for (const item of readdirSync(folder, { withFileTypes: true })) {
      const path = relative === '' ? item.name : `${relative}/${item.name}`;
      const full = join(folder, item.name);
      if (!placed.has(path) || !(item.isDirectory() || item.isFile())) rmSync(full, { recursive: true, force: true });
      else if (item.isDirectory()) {
        chmodSync(full, 0o700);
        walk(full, path);
      }
    }
  };
  onDisk(tree, () => walk(tree, ''));
}

function takeUp(dir: string): boolean {
  const found = lstatSync(dir, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.isSymbolicLink()) {
    unlinkSync(dir);
    return false;
  }
  const foreign = process.getuid !== undefined && found.uid !== process.getuid();
  if (!found.isDirectory() || foreign || (found.mode & 0o077) !== 0)
    throw new AgentError('permission', `not ours: ${dir}`, { params: { path: dir }, details: { path: dir } });
  return true;
}

function sweep(parent: string, family: string, keep: string): void {
  for (const name of onDisk(parent, () => readdirSync(parent))) {
    const path = join(parent, name);
    if (!name.startsWith(family) || path === keep) continue;
    try {
      rmSync(path, { recursive: true, force: true });
    } catch (error) {
      throw diskError(error, path);
    }
  }
}

/**
 * Finds out by trying whether the file system of the staging folder tells case and Unicode forms apart.
 */
export function probeNames(staging: Staging, platform: NodeJS.Platform = process.platform): NameRules {
  const folder = join(staging.dir, 'probe');
  return onDisk(folder, () => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, '\u00e9a'), '');
    const folds = ['\u00e9A', 'e\u0301a'].some(
      (other) => lstatSync(join(folder, other), { throwIfNoEntry: false }) !== undefined,
    );
    unlinkSync(join(folder, '\u00e9a'));
    rmdirSync(folder);
    return { key: folds ? foldedKey : (name: string) => name, windows: platform === 'win32' };
  });
}

/** @throws AgentError `disk-full` before anything is written when `bytes` will not fit (MS-39) */
export function requireSpace(staging: Staging, bytes: number): void {
  const { bavail, bsize } = statfsSync(staging.dir, { bigint: true });
  const free = bavail * bsize;
  // file systems need room for their own records: 1 % and 16 MiB
  const needed = BigInt(bytes) + BigInt(bytes) / 100n + 16n * 1024n * 1024n;
  if (free < needed)
    throw new AgentError('disk-full', `${needed} bytes needed, ${free} free`, {
      key: 'error.restore-space',
      params: { path: staging.dir, needed: Number(needed), free: Number(free) },
      details: { path: staging.dir, neededBytes: Number(needed), freeBytes: Number(free) },
    });
}
