import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { hashOf } from '../diff/nodes.ts';
import { AgentError } from '../errors.ts';
import { microsOf } from '../mandate/scan.ts';
import { lookAtModule, type ModuleLook } from './module-file.ts';

/** A file that a test restore brought back: what the backup says of it, and where it lies now. */
export interface RestoredFile {
  readonly path: string;
  readonly size: number;
  /** µs since 1970. */
  readonly mtime: number;
  readonly sha256: string;
  /** Absolute. */
  readonly place: string;
}

export interface CheckedModule extends ModuleLook {
  readonly file: string;
}

/** What a test restore found out by reading again what it wrote. */
export interface TreeCheck {
  /** Files whose bytes have the hash of the backup. */
  readonly verified: number;
  /** Files that were restored and do not. */
  readonly wrong: readonly string[];
  /** Files that lie on disk with size and time as saved: their content was compared as well. */
  readonly comparedWithDisk: number;
  /** Of those, the ones whose content on disk is another: the disk, or a program that hides its changes. */
  readonly differsFromDisk: readonly string[];
  readonly modules: readonly CheckedModule[];
}

/**
 * Reads every restored file again and compares its hash; where the file on disk was not touched since it was saved, that
 * one too.
 * @param folder the mandate on this computer, or undefined when it is not here
 */
export async function checkTree(
  files: readonly RestoredFile[],
  modules: readonly string[],
  folder: string | undefined,
  signal: AbortSignal,
): Promise<TreeCheck> {
  const wrong: string[] = [];
  const differsFromDisk: string[] = [];
  const looked: CheckedModule[] = [];
  let comparedWithDisk = 0;
  for (const file of files) {
    if (signal.aborted) throw new AgentError('interrupted', 'interrupted');
    if ((await hashOf(file.place)) !== file.sha256) wrong.push(file.path);
    if (modules.includes(file.path)) looked.push({ file: file.path, ...lookAtModule(file.place) });
    const onDisk = folder === undefined ? undefined : join(folder, file.path);
    if (onDisk === undefined || !isUntouched(onDisk, file)) continue;
    comparedWithDisk += 1;
    if ((await hashOf(onDisk)) !== file.sha256) differsFromDisk.push(file.path);
  }
  return { verified: files.length - wrong.length, wrong, comparedWithDisk, differsFromDisk, modules: looked };
}

function isUntouched(path: string, { size, mtime }: RestoredFile): boolean {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() === true && Number(stat.size) === size && microsOf(stat) === mtime;
}
