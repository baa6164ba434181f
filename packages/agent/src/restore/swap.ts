import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, renameSync, rmdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { ensureFolder, onDisk, readJson, removeDurable, syncFolder, writeJson } from '../local/files.ts';
import { shape } from '../local/shape.ts';
import { stampText } from '../render/text.ts';
import { isOwnStaging, sweepStaging } from './staging.ts';

/** What is about to be swapped: written durably before the first rename, so that the next start can finish it (I4). */
export interface SwapIntent {
  /** The complete restored folder. */
  readonly staging: string;
  /** Where it belongs. */
  readonly target: string;
  /** Where what is at the target now goes; null when there is nothing. */
  readonly aside: string | null;
  /** What is to be noted of the restore once it is in place; as whoever notes it wrote it. */
  readonly note?: unknown;
}

/** The same three places, reached through folders that are held open. */
export interface SwapPaths {
  readonly staging: string;
  readonly target: string;
  readonly aside: string | null;
}

/** A swap that is in place and whose intent is still on disk. */
export interface Swapped {
  /** Everything is noted: forgets the intent. */
  done(): void;
}

/**
 * Puts the staged folder in the target's place. After a crash at any moment the target is the old folder or the new one,
 * whole, or missing with an intent on disk that `recoverSwaps` completes. The intent stays until `done`.
 * @param intents folder for the durable intent
 * @throws AgentError `disk-full`, `read-only`, `permission`
 */
export function swapIn(intents: string, intent: SwapIntent, paths: SwapPaths = intent): Swapped {
  ensureFolder(intents);
  const file = join(intents, `${randomBytes(8).toString('hex')}.json`);
  writeJson(file, intent);
  crashPoint('swap-intent');
  try {
    perform(paths);
  } catch (error) {
    if (paths.aside !== null && !putBack(paths.target, paths.aside) && isThere(paths.aside)) throw error; // somebody else's thing took the place: the intent stays, and tells the next start
    removeDurable(file);
    throw error;
  }
  return { done: () => removeDurable(file) };
}

/** A swap that a crash interrupted, and how it ended now. */
export interface RecoveredSwap {
  readonly intent: SwapIntent;
  /** 'new': the restored folder is in place; 'old': nothing was replaced. */
  readonly outcome: 'new' | 'old';
  /** What was replaced lies at `intent.aside`. */
  readonly isAsideThere: boolean;
}

/**
 * Finishes or gives up swaps that a crash interrupted; to be called at each start, under the home's lock.
 * @param noted told of each before its intent is forgotten: a crash in between leads here again
 */
export function recoverSwaps(intents: string, noted: (recovered: RecoveredSwap) => void = () => undefined): void {
  for (const name of existsSync(intents) ? readdirSync(intents) : []) {
    if (!name.endsWith('.json')) continue;
    const file = join(intents, name);
    const read = readJson(file, checkIntent);
    if (read.found) {
      const intent = read.value;
      const outcome = recover(intent);
      if (outcome !== undefined)
        noted({ intent, outcome, isAsideThere: intent.aside !== null && isThere(intent.aside) });
      if (!isThere(intent.staging)) sweepStaging(intent.staging);
    }
    removeDurable(file);
  }
}

function perform({ staging, target, aside }: SwapPaths): void {
  if (aside !== null) {
    onDisk(target, () => renameSync(target, aside));
    crashPoint('swap-out');
  } else if (isThere(target)) onDisk(target, () => rmdirSync(target)); // only ever an empty folder
  onDisk(target, () => renameSync(staging, target));
  crashPoint('swap-in');
  onDisk(target, () => syncFolder(dirname(target)));
}

/**
 * The target is missing only between the two renames: then the staged folder is complete and goes in. In every other
 * state the target is whole (the old one or the new one) and nothing is touched.
 */
function recover({ staging, target, aside }: SwapIntent): RecoveredSwap['outcome'] | undefined {
  const isStaged = isOurStaging(staging);
  if (isThere(target)) return isStaged ? 'old' : 'new';
  if (isStaged) onDisk(target, () => renameSync(staging, target));
  else if (aside === null || !putBack(target, aside)) return undefined;
  onDisk(target, () => syncFolder(dirname(target)));
  return isStaged ? 'new' : 'old';
}

function putBack(target: string, aside: string): boolean {
  if (isThere(target) || !isThere(aside)) return false;
  onDisk(target, () => renameSync(aside, target));
  return true;
}

/** A link or another user's folder at that name is none of ours (MS-38). */
function isOurStaging(tree: string): boolean {
  const found = lstatSync(tree, { throwIfNoEntry: false });
  if (found === undefined || !found.isDirectory()) return false;
  return process.getuid === undefined || (found.uid === process.getuid() && isOwnStaging(dirname(tree)));
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function checkIntent(value: unknown): SwapIntent {
  const fields = shape(value);
  return {
    staging: fields.text('staging'),
    target: fields.text('target'),
    aside: fields.optionalText('aside') ?? null,
    note: (value as { note?: unknown }).note,
  };
}

/**
 * A free name beside the target for what is replaced: `<name> (<word> 2026-11-24 14h05)`, with ` 2`, ` 3` … when taken.
 * @param at ms since 1970
 * @param word "remplacé" in the user's language
 */
export function asideName(target: string, word: string, at: number): string {
  const stamp = stampText(at);
  for (let n = 1; n < 1000; n += 1) {
    const path = join(dirname(target), `${basename(target)} (${word} ${stamp}${n === 1 ? '' : ` ${n}`})`);
    if (!isThere(path)) return path;
  }
  throw new AgentError('unexpected', 'no free name for the replaced folder');
}
