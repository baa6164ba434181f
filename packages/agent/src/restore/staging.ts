import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  type Stats,
  statfsSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AgentError, toAgentError } from '../errors.ts';
import { onDisk } from '../local/files.ts';
import { HeldFolder } from './held-folder.ts';
import { foldedKey, type NameRules } from './names.ts';
import { removeTree } from './remove-tree.ts';
import { Slices } from './slices.ts';

/**
 * The private folder in which a restore builds the new tree: beside the target, so on its volume, 0700 and made by us.
 * Nobody else can plant a link in it (MS-33, MS-38), and its last step into place is one rename.
 */
export interface Staging {
  /** Its path as the user would write it. */
  readonly dir: string;
  /** The folder above the target, and `dir`, held open: whoever swaps one of their names for a link changes nothing for us. */
  readonly parent: HeldFolder;
  readonly held: HeldFolder;
  /** The tree that will become the target, reached through `held`. */
  readonly tree: string;
  /** An interrupted restore of the same backup left files here; each counts only if its hash is right. */
  readonly reused: boolean;
}

const PREFIX = '.cresus-safe-';

/**
 * Makes the staging folder for a target, or takes up the one that an interrupted restore of the same backup left, and
 * sweeps those of others.
 * @param id hex digits that say which backup, and what of it
 * @throws AgentError `path-missing` when the folder above the target is not there, `permission` when someone else's
 *   folder has that name, `disk-full`, `read-only`
 */
export function openStaging(target: string, id: string): Staging {
  const above = dirname(target);
  if (lstatSync(above, { throwIfNoEntry: false }) === undefined)
    throw new AgentError('path-missing', `no such folder: ${above}`, { params: { path: above } });
  const parent = HeldFolder.open(above, 'follow');
  try {
    const family = familyOf(target);
    const name = family + id.slice(0, 16);
    sweep(parent, family, name);
    const reused = onDisk(above, () => takeUp(parent.at(name)));
    if (!reused) onDisk(above, () => mkdirSync(parent.at(name), { mode: 0o700 }));
    const held = ownFolder(parent, name);
    onDisk(held.path, () => mkdirSync(held.at('tree'), { recursive: true, mode: 0o700 }));
    return { dir: held.path, parent, held, tree: held.at('tree'), reused };
  } catch (error) {
    parent.close();
    throw error;
  }
}

/** What the staging folders of a target begin with. */
function familyOf(target: string): string {
  return `${PREFIX}${createHash('sha256').update(target).digest('hex').slice(0, 12)}-`;
}

/** The staging folder that an interrupted restore to this target left, if it did. */
export function stagingLeft(target: string): string | undefined {
  const above = dirname(target);
  const name = existsSync(above) ? readdirSync(above).find((each) => each.startsWith(familyOf(target))) : undefined;
  return name === undefined ? undefined : join(above, name);
}

/** Opens what was just made or taken up, and looks at what was opened: between the two the name may have changed hands. */
function ownFolder(parent: HeldFolder, name: string): HeldFolder {
  const held = HeldFolder.open(join(parent.path, name), 'own', parent.at(name));
  if (isOurs(held.stats())) return held;
  held.close();
  throw foreign(join(parent.path, name));
}

/** An error with the paths that the user knows instead of those that lead through descriptors. */
export function inUserWords({ parent, held }: Staging, error: unknown): AgentError {
  const { kind, message, key, params, hint, details, cause } = toAgentError(error);
  const shown = (text: string): string => parent.shown(held.shown(text));
  const all = <T>(fields: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [name, typeof field === 'string' ? (shown(field) as T) : field]),
    );
  return new AgentError(kind, shown(message), { key, params: all(params), hint, details: all(details), cause });
}

/** Ends the use of a staging folder; what is in it stays. */
export function closeStaging({ held, parent }: Staging): void {
  held.close();
  parent.close();
}

/** Whether a folder is a staging folder of this user, and no link to one. */
export function isOwnStaging(dir: string): boolean {
  const found = lstatSync(dir, { throwIfNoEntry: false });
  return found !== undefined && isOurs(found);
}

/** Removes the staging folder that a completed swap left; any other path is none of ours and stays. */
export function sweepStaging(tree: string): void {
  const dir = dirname(tree);
  if (!basename(dir).startsWith(PREFIX) || !isOwnStaging(dir)) return;
  const held = HeldFolder.open(dir, 'own');
  try {
    removeHeld(held, dir);
  } finally {
    held.close();
  }
}

/** Removes what is left of a staging folder; with its tree when that did not go into place. */
export function discardStaging({ dir, held, parent }: Staging): void {
  removeHeld(held, parent.at(basename(dir)));
}

/** What is in it goes by the descriptor, never by its name: whoever makes that a link meanwhile has nothing of ours removed. */
function removeHeld(held: HeldFolder, name: string): void {
  onDisk(held.path, () => {
    if (!isOurs(held.stats())) return;
    for (const item of readdirSync(held.at('.'))) removeTree(held.at(item));
    try {
      rmdirSync(name);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // the name is somebody else's by now
      if (code !== 'ENOTDIR' && code !== 'ENOENT' && code !== 'ENOTEMPTY') throw error;
    }
  });
}

/**
 * Before an interrupted restore is taken up: removes from its tree all that the plan does not place there, and every
 * link, so that no path of ours leads through one.
 * @param placed relative paths of the folders and files of the plan
 */
export async function cleanTree(
  tree: string,
  placed: { has(path: string): boolean },
  signal?: AbortSignal,
): Promise<void> {
  const slices = new Slices(signal);
  const walk = async (folder: string, relative: string): Promise<void> => {
    for (const item of onDisk(folder, () => readdirSync(folder, { withFileTypes: true }))) {
      if (slices.due) await slices.pause();
      const path = relative === '' ? item.name : `${relative}/${item.name}`;
      const full = join(folder, item.name);
      if (!placed.has(path) || !(item.isDirectory() || item.isFile())) {
        onDisk(full, () => rmSync(full, { recursive: true, force: true }));
      } else if (item.isDirectory()) {
        onDisk(full, () => chmodSync(full, 0o700));
        await walk(full, path);
      }
    }
  };
  await walk(tree, '');
}

function takeUp(dir: string): boolean {
  const found = lstatSync(dir, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.isSymbolicLink()) {
    unlinkSync(dir);
    return false;
  }
  if (!isOurs(found)) throw foreign(dir);
  return true;
}

/** A folder that this user made and nobody else may enter. */
function isOurs(found: Stats): boolean {
  const isForeign = process.getuid !== undefined && found.uid !== process.getuid();
  // Windows has no such bits; there the folder has the rights of the one above it
  return found.isDirectory() && !isForeign && (process.platform === 'win32' || (found.mode & 0o077) === 0);
}

function foreign(dir: string): AgentError {
  return new AgentError('permission', `not ours: ${dir}`, { params: { path: dir }, details: { path: dir } });
}

function sweep(parent: HeldFolder, family: string, keep: string): void {
  for (const name of onDisk(parent.path, () => readdirSync(parent.at('.')))) {
    if (!name.startsWith(family) || name === keep) continue;
    const found = lstatSync(parent.at(name), { throwIfNoEntry: false });
    if (found === undefined || !isOurs(found)) continue;
    const held = HeldFolder.open(join(parent.path, name), 'own', parent.at(name));
    try {
      removeHeld(held, parent.at(name));
    } finally {
      held.close();
    }
  }
}

/**
 * Finds out by trying whether the file system of the staging folder tells case and Unicode forms apart.
 */
export function probeNames(staging: Staging, platform: NodeJS.Platform = process.platform): NameRules {
  const folder = staging.held.at('probe');
  return onDisk(staging.dir, () => {
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
  const { bavail, bsize } = statfsSync(staging.held.at('.'), { bigint: true });
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
