import { createHash, randomBytes } from 'node:crypto';
import { linkSync, lstatSync, readdirSync, renameSync, rmSync, statfsSync, statSync, unlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { onDisk, syncFolder } from '../local/files.ts';
import { stampText } from '../render/text.ts';

export const EXTENSION = '.pe-backup';
const TEMPORARY = /^\.cresus-safe-copy-([0-9a-f]{8})-(\d{1,10})-[0-9a-f]{12}\.tmp$/;
/** Another computer on the same stick or share, or a process that got the number of a dead one: nobody pauses for two days. */
const ABANDONED_MS = 2 * 24 * 3600 * 1000;
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])$/i;
const FORBIDDEN = /[<>:"/\\|?*\p{Cc}\p{Cf}\p{Cn}\p{Cs}\p{Co}]/gu;
const MAX_NUMBER = 1000;

/**
 * The place that FILE means: a folder gets the default name, another name its extension.
 * @param created of the state that is copied: ms since 1970
 * @throws AgentError `path-missing` when the folder is not there, `usage` for a name that no file can have
 */
export function chooseFile(given: string, mandateName: string, created: number): string {
  const path = resolve(given);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory() || /[/\\]$/.test(given)) {
    requireFolder(path);
    return freeName(path, mandateName, created);
  }
  requireFolder(dirname(path));
  return path.toLowerCase().endsWith(EXTENSION) ? path : path + EXTENSION;
}

function requireFolder(folder: string): void {
  if (onDisk(folder, () => statSync(folder, { throwIfNoEntry: false }))?.isDirectory()) return;
  throw new AgentError('path-missing', `${folder} is no folder`, {
    params: { path: folder },
    details: { path: folder },
  });
}

/** `<mandate> 2026-11-24 14h05.pe-backup`; ` 2`, ` 3` … before the extension when that is taken. */
function freeName(folder: string, mandateName: string, created: number): string {
  for (let n = 1; n < MAX_NUMBER; n += 1) {
    const path = join(folder, `${defaultName(mandateName, created)}${n === 1 ? '' : ` ${n}`}${EXTENSION}`);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return path;
  }
  throw new AgentError('unexpected', 'no free name for the copy');
}

/** The suggested name without extension: possible on every file system, in Swiss time. */
export function defaultName(mandateName: string, created: number): string {
  const clean = mandateName.normalize('NFC').replace(FORBIDDEN, '_').trim().replace(/^\./, '_');
  const name = RESERVED.test(clean.split('.')[0]?.trim() ?? '') ? `_${clean}` : clean;
  return `${name} ${stampText(created)}`;
}

/** @throws AgentError `acceptance-missing` when a file is there and may not be replaced; `usage` when it is no file */
export function requireFree(path: string, overwrite: boolean): void {
  const found = onDisk(path, () => lstatSync(path, { throwIfNoEntry: false }));
  if (found === undefined || (overwrite && found.isFile())) return;
  if (overwrite) throw new AgentError('usage', `${path} is no file`, { key: 'error.copy-no-file', params: { path } });
  throw fileExists(path);
}

function fileExists(path: string): AgentError {
  return new AgentError('acceptance-missing', `${path} exists`, {
    key: 'error.file-exists',
    hint: 'hint.file-exists',
    params: { path },
    details: { path },
  });
}

/** A free name for the unfinished copy, beside the finished one and telling who writes it. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.cresus-safe-copy-${hostMark()}-${process.pid}-${randomBytes(6).toString('hex')}.tmp`);
}

function hostMark(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
}

/** Removes the unfinished copies in a folder whose writers are gone (F-19). One that cannot be removed is left for the next time. */
export function sweepUnfinished(folder: string, now: number): void {
  for (const name of onDisk(folder, () => readdirSync(folder))) {
    const [match, host, pid] = TEMPORARY.exec(name) ?? [];
    if (match === undefined) continue;
    const path = join(folder, name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    const isOld = now - (found?.mtimeMs ?? now) > ABANDONED_MS;
    const isOver = isOld || (host === hostMark() && !isAlive(Number(pid)));
    if (isOver && found?.isFile()) removeIfAllowed(path);
  }
}

function removeIfAllowed(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // of another user: no reason to refuse this copy
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** @throws AgentError `disk-full` when `bytes` will not fit on the disk of `path` */
export function requireSpace(path: string, bytes: number): void {
  const { bavail, bsize } = onDisk(path, () => statfsSync(dirname(path), { bigint: true }));
  const free = bavail * bsize;
  if (free >= BigInt(bytes)) return;
  throw new AgentError('disk-full', `about ${bytes} bytes needed, ${free} free`, {
    key: 'error.copy-space',
    params: { path },
    details: { path, neededBytes: bytes, freeBytes: Number(free) },
  });
}

/**
 * Gives a finished and verified copy its name, in one step: a crash leaves what was there, or the whole new copy. Without
 * `overwrite` a file that turned up meanwhile stays, by a hard link, which never replaces; FAT has none, and there a look
 * before the rename must do.
 * @throws AgentError `acceptance-missing`, and the disk kinds
 */
export function putInPlace(temporary: string, path: string, overwrite: boolean, makeLink = linkSync): void {
  if (overwrite) onDisk(path, () => renameSync(temporary, path));
  else if (link(temporary, path, makeLink)) {
    crashPoint('copy-linked');
    onDisk(path, () => unlinkSync(temporary));
  } else {
    requireFree(path, false);
    onDisk(path, () => renameSync(temporary, path));
  }
  crashPoint('copy-renamed');
  onDisk(path, () => syncFolder(dirname(path)));
}

/** @returns false where hard links are not to be had: each system says so in another way, and the rename tells what is wrong */
function link(temporary: string, path: string, makeLink: typeof linkSync): boolean {
  try {
    makeLink(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw fileExists(path);
    return false;
  }
}

/** Whether a file's name is that of a copy. */
export function isCopyName(name: string): boolean {
  return name.toLowerCase().endsWith(EXTENSION) && !basename(name).startsWith('.');
}
