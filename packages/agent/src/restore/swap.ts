import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, renameSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { ensureFolder, onDisk, readJson, removeDurable, syncFolder, writeJson } from '../local/files.ts';
import { shape } from '../local/shape.ts';
import { sweepStaging } from './staging.ts';

/** What is about to be swapped: written durably before the first rename, so that the next start can finish it (I4). */
export interface SwapIntent {
  /** The complete restored folder. */
  readonly staging: string;
  /** Where it belongs. */
  readonly target: string;
  /** Where what is at the target now goes; null when there is nothing. */
  readonly aside: string | null;
}

/**
 * Puts the staged folder in the target's place. After a crash at any moment the target is the old folder or the new one,
 * whole, or missing with an intent on disk that `recoverSwaps` completes.
 * @param intents folder for the durable intent
 * @throws AgentError `disk-full`, `read-only`, `permission`
 */
export function swapIn(intents: string, intent: SwapIntent): void {
  ensureFolder(intents);
  const file = join(intents, `${randomBytes(8).toString('hex')}.json`);
  writeJson(file, intent);
  crashPoint('swap-intent');
  try {
    perform(intent);
  } catch (error) {
    if (intent.aside !== null) putBack(intent.target, intent.aside);
    removeDurable(file);
    throw error;
  }
  removeDurable(file);
}

/**
 * Finishes or gives up swaps that a crash interrupted; to be called at each start, under the home's lock.
 * @returns the targets that were completed now
 */
export function recoverSwaps(intents: string): string[] {
  const completed: string[] = [];
  for (const name of existsSync(intents) ? readdirSync(intents) : []) {
    if (!name.endsWith('.json')) continue;
    const file = join(intents, name);
    const read = readJson(file, checkIntent);
    if (read.found && recover(read.value)) completed.push(read.value.target);
    if (read.found && !isThere(read.value.staging)) sweepStaging(read.value.staging);
    removeDurable(file);
  }
  return completed;
}

function perform({ staging, target, aside }: SwapIntent): void {
  if (aside !== null) {
    onDisk(target, () => renameSync(target, aside));
    crashPoint('swap-out');
  }
  onDisk(target, () => renameSync(staging, target));
  crashPoint('swap-in');
  onDisk(target, () => syncFolder(dirname(target)));
}

/**
 * The target is missing only between the two renames: then the staged folder is complete and goes in. In every other
 * state the target is whole (the old one or the new one) and nothing is touched.
 */
function recover({ staging, target, aside }: SwapIntent): boolean {
  if (isThere(target)) return false;
  if (isThere(staging)) onDisk(target, () => renameSync(staging, target));
  else if (aside === null || !putBack(target, aside)) return false;
  onDisk(target, () => syncFolder(dirname(target)));
  return true;
}

function putBack(target: string, aside: string): boolean {
  if (isThere(target) || !isThere(aside)) return false;
  onDisk(target, () => renameSync(aside, target));
  return true;
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
  };
}

/**
 * A free name beside the target for what is replaced: `<name> (<word> 2026-11-24 14h05)`, with ` 2`, ` 3` … when taken.
 * @param word "remplacé" in the user's language
 */
export function asideName(target: string, word: string, at: Date): string {
  const two = (n: number): string => String(n).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const stamp = `${day} ${two(at.getHours())}h${two(at.getMinutes())}`;
  for (let n = 1; n < 1000; n += 1) {
    const path = join(dirname(target), `${basename(target)} (${word} ${stamp}${n === 1 ? '' : ` ${n}`})`);
    if (!isThere(path)) return path;
  }
  throw new AgentError('unexpected', 'no free name for the replaced folder');
}
