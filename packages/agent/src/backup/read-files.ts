import { type BigIntStats, lstatSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { CONTENT_CLASS } from '@cresus-safe/protocol';
import { PIECE_STATUS, type PieceStatus, sameStat, statOf } from '../compute/jobs.ts';
import { AgentError } from '../errors.ts';
import { microsOf } from '../mandate/scan.ts';
import { type Books, type Entry, type FileEntry, resetEntry } from './entry.ts';

const TRIES = 3;
const PAUSE_MS = 150;

/** Stores what needs storing; answers with the files that were not what the scan had seen. */
export type ReadOnce = (files: readonly FileEntry[]) => Promise<readonly { file: FileEntry; status: PieceStatus }[]>;

/**
 * Reads every file that is neither known nor given up. What changes meanwhile is read again, up to three times; then it
 * is a problem of the result, except for the books: without them in one consistent state there is no snapshot (F-27).
 * @throws AgentError `mandate-unstable`
 */
export async function readFiles(
  root: string,
  entries: readonly Entry[],
  books: Books,
  readOnce: ReadOnce,
  signal?: AbortSignal,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    const wanted = entries.flatMap(({ file }) => (file && !file.sha256 && file.problem === undefined ? [file] : []));
    const unread = new Map((await readOnce(modulesFirst(wanted))).map(({ file, status }) => [file, status]));
    for (const file of movedBooks(root, entries, books)) unread.set(file, PIECE_STATUS.changed);
    const strange = strangeJournal(root, entries, books);
    if (unread.size === 0 && strange === undefined) return;
    const isLast = tries === TRIES;
    if (isLast && strange !== undefined) throw unstable(strange);
    for (const [file, status] of unread) lookAgain(root, file, status, isLast, books.isModule(file.path));
    if (!isLast) await pause(PAUSE_MS, undefined, signal ? { signal } : {});
  }
}

/** Segments hold one class: taking the modules first leaves one change of class instead of many. */
function modulesFirst(files: FileEntry[]): FileEntry[] {
  const isModule = ({ contentClass }: FileEntry): boolean => contentClass === CONTENT_CLASS.module;
  return [...files.filter(isModule), ...files.filter((file) => !isModule(file))];
}

/** Books that are no longer what they were when they were read: module and journal would not fit each other. */
function movedBooks(root: string, entries: readonly Entry[], books: Books): FileEntry[] {
  if (books.paths().length === 0) return [];
  return entries.flatMap(({ file }) => {
    if (!file?.isBooks || file.problem !== undefined) return [];
    const now = statIfThere(`${root}/${file.path}`);
    return now?.isFile() && sameStat(statOf(now), file.stat) ? [] : [file];
  });
}

/**
 * A journal that was not there when the mandate was scanned, or that went and came back: someone works in the books, and
 * what was read of them lacks it.
 */
function strangeJournal(root: string, entries: readonly Entry[], books: Books): string | undefined {
  const known = new Set(entries.flatMap(({ file }) => (file?.isBooks && !file.problem ? [file.path] : [])));
  return books
    .paths()
    .find((path) => books.isJournal(path) && !known.has(path) && statIfThere(`${root}/${path}`)?.isFile());
}

/**
 * What becomes of a file that was not what the scan had seen. A journal that is gone was ended with its transaction, and
 * its module is read again for having changed; a module that is gone may be about to be replaced, as some programs save.
 */
function lookAgain(root: string, file: FileEntry, status: PieceStatus, isLast: boolean, isModule: boolean): void {
  const now = statIfThere(`${root}/${file.path}`);
  const giveUp = (reason: string): void => {
    if (file.isBooks && (isModule || reason !== 'vanished')) throw unstable(file.path);
    Object.assign(file, { problem: reason, extents: [], sha256: undefined });
  };
  if (!now && isModule && !isLast) return;
  if (!now) giveUp('vanished');
  else if (status === PIECE_STATUS.unreadable) giveUp('unreadable');
  else if (!now.isFile() || isLast) giveUp('changed');
  else resetEntry(file, statOf(now), microsOf(now), Number(now.mode) & 0o777);
}

function statIfThere(path: string): BigIntStats | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true });
}

function unstable(path: string): AgentError {
  return new AgentError('mandate-unstable', `${path} kept changing while it was read`, {
    params: { file: path },
    details: { file: path },
  });
}
