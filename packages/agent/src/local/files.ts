import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AgentError } from '../errors.ts';
import { crashPoint } from './crash.ts';

const TEMPORARY = /^\.(.+)\.[0-9a-f]{12}\.tmp$/;

/** Runs `act` and turns the errors of a local disk (`ENOSPC`, `EROFS`, `EACCES` …) into typed ones that name `path`. */
export function onDisk<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw diskError(error, path);
  }
}

/** The typed form of a file system error: `disk-full`, `read-only`, `permission`, or the error itself. */
export function diskError(error: unknown, path: string): unknown {
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') return typed('disk-full', path, error);
  if (code === 'EROFS') return typed('read-only', path, error);
  if (code === 'EACCES' || code === 'EPERM') return typed('permission', path, error);
  return error;
}

function typed(kind: 'disk-full' | 'read-only' | 'permission', path: string, cause: unknown): AgentError {
  return new AgentError(kind, `${kind}: ${path}`, { params: { path }, details: { path }, cause });
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

/** Makes a folder (and those above it) readable by this user alone. */
export function ensureFolder(folder: string): void {
  onDisk(folder, () => mkdirSync(folder, { recursive: true, mode: 0o700 }));
}

/**
 * Writes a file so that a crash at any moment leaves the old bytes or the new ones: temporary file, write, fsync,
 * rename, fsync of the folder. The file is 0600; `mode` may widen that for files the user asked for.
 * @throws AgentError `disk-full`, `read-only`, `permission`
 */
export function writeDurable(path: string, data: Uint8Array | string, mode = 0o600): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  onDisk(path, () => {
    try {
      writeSynced(temporary, data, mode);
      crashPoint('state-temp');
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    syncFolder(dirname(path));
  });
  crashPoint('state-renamed');
}

function writeSynced(path: string, data: Uint8Array | string, mode: number): void {
  const file = openSync(path, 'wx', mode);
  try {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes the names in a folder durable; Windows has no such call and needs none. */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Removes a file durably; a file that is not there is fine. */
export function removeDurable(path: string): void {
  onDisk(path, () => {
    rmSync(path, { force: true });
    syncFolder(dirname(path));
  });
}

/**
 * Removes what writers that were killed left behind (temporary files of `writeDurable`) in `folder` and below. Only for
 * who holds the lock: another run's temporary file is about to be renamed.
 */
export function sweepTemporary(folder: string): void {
  for (const path of pathsIn(folder)) if (TEMPORARY.test(basename(path))) rmSync(join(folder, path), { force: true });
}

function pathsIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch (error) {
    if (isMissing(error)) return [];
    throw diskError(error, folder);
  }
}

/** The bytes of a file, or undefined when there is none. */
export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw diskError(error, path);
  }
}

/** What a file of the home folder held: its value, that it is not there, or that it is damaged (with why). */
export type Read<T> = { found: true; value: T } | { found: false; damaged?: string };

/**
 * Reads a JSON file through `check`, which throws on anything it does not know; itself it never throws for what the
 * file holds. (No schema library here: loading one costs more than a send with nothing changed.)
 */
export function readJson<T>(path: string, check: (value: unknown) => T): Read<T> {
  const bytes = readIfThere(path);
  if (bytes === undefined) return { found: false };
  try {
    return { found: true, value: check(JSON.parse(bytes.toString('utf8'))) };
  } catch (error) {
    return { found: false, damaged: error instanceof Error ? error.message : String(error) };
  }
}

/** Writes `value` as JSON, durably. */
export function writeJson(path: string, value: unknown): void {
  writeDurable(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** Moves a damaged file aside (`<name>.damaged`), so that it can be looked at and never silently overwritten. */
export function setAside(path: string): string {
  const aside = `${path}.damaged`;
  onDisk(path, () => renameSync(path, aside));
  return aside;
}

function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}
