import { accessSync, constants, lstatSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type AgentError, toAgentError } from '../errors.ts';
import { diskError, removeDurable, writeDurable } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { lookAtLock } from '../local/lock.ts';

/** Less than this and the caches of a large send may not fit; and less than that, nothing does. */
const LITTLE_SPACE = 500_000_000;
const NO_SPACE = 20_000_000;

/** What the home folder is like; each is undefined when there is nothing to say against it. */
export interface HomeFacts {
  readonly exists: boolean;
  /** Files and folders that others than this user may read. */
  readonly exposed: readonly string[];
  readonly unwritable: AgentError | undefined;
  readonly unreadable: readonly string[];
  readonly freeBytes: number;
  readonly space: 'ok' | 'little' | 'none';
  readonly lock: { readonly pid: number; readonly alive: boolean } | undefined;
}

/** Looks at the home folder; the only thing it writes is a file that it removes again. */
export function lookAtHome(home: Home): HomeFacts {
  if (lstatSync(home.dir, { throwIfNoEntry: false }) === undefined)
    return {
      exists: false,
      exposed: [],
      unwritable: undefined,
      unreadable: [],
      freeBytes: 0,
      space: 'ok',
      lock: undefined,
    };
  const freeBytes = free(home.dir);
  return {
    exists: true,
    exposed: secrets(home).filter(isExposed),
    unwritable: tryWriting(home.dir),
    unreadable: unreadable(home.dir),
    freeBytes,
    space: freeBytes < NO_SPACE ? 'none' : freeBytes < LITTLE_SPACE ? 'little' : 'ok',
    lock: lookAtLock(home.lock),
  };
}

function secrets(home: Home): string[] {
  return [home.dir, home.token, home.rootKey, home.points, join(home.points, 'root.key')];
}

/** Windows keeps no such bits; there the profile folder's own list decides. */
function isExposed(path: string): boolean {
  const stat = process.platform === 'win32' ? undefined : lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && (stat.mode & 0o077) !== 0;
}

function tryWriting(folder: string): AgentError | undefined {
  const probe = join(folder, 'doctor.probe');
  try {
    writeDurable(probe, Buffer.alloc(4096));
    removeDurable(probe);
    return undefined;
  } catch (error) {
    return toAgentError(diskError(error, folder));
  }
}

/** Files of the home that this user cannot read: those of a run as another user, mostly. */
function unreadable(folder: string): string[] {
  const found: string[] = [];
  for (const item of list(folder, found)) {
    const path = join(folder, item.name);
    if (item.isDirectory()) found.push(...unreadable(path));
    else if (!canRead(path)) found.push(path);
  }
  return found;
}

function list(folder: string, found: string[]): { readonly name: string; isDirectory(): boolean }[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    found.push(folder); // said by its name
    return [];
  }
}

function canRead(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false; // the caller lists it
  }
}

function free(folder: string): number {
  const { bavail, bsize } = statfsSync(folder, { bigint: true });
  return Number(bavail * bsize);
}
