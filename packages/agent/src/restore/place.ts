import { lstatSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { toAgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { onDisk, syncFolder } from '../local/files.ts';
import type { RestoreOptions } from './options.ts';
import type { MadeSafety } from './safety-net.ts';
import type { Staging } from './staging.ts';
import { asideName, swapIn } from './swap.ts';

export interface PlaceOptions
  extends Pick<RestoreOptions, 'target' | 'intents' | 'replacedWord' | 'safety' | 'note' | 'now'> {
  readonly staging: Staging;
  /** Something is at the target. */
  readonly replaces: boolean;
  readonly made: MadeSafety | undefined;
}

/** A tree that is in place. */
export interface Placed {
  readonly replacedKept: string | null;
  /** Everything is noted. */
  done(): void;
}

/**
 * Moves the staged tree into place. What it replaces is removed only when the safety point is proven to hold all of it; else it
 * stays, whole, beside the new folder.
 */
export async function placeTree(options: PlaceOptions): Promise<Placed> {
  const { target, intents, replacedWord, staging, replaces, made, note, now = Date.now } = options;
  const aside = replaces ? asideName(target, replacedWord, now()) : null;
  const { parent } = staging;
  const intent = { staging: join(staging.dir, 'tree'), target, aside, note: note?.(made) };
  const heldAside = aside === null ? null : parent.at(basename(aside));
  const swapped = swapIn(intents, intent, {
    staging: staging.tree,
    target: parent.at(basename(target)),
    aside: heldAside,
  });
  const isGone = heldAside !== null && (await retired(options, heldAside));
  return { replacedKept: isGone ? null : aside, done: () => swapped.done() };
}

/** @returns whether what was replaced went into the staging folder, with which it will be removed */
async function retired({ safety, made, staging }: PlaceOptions, aside: string): Promise<boolean> {
  if (safety === undefined || made?.complete !== true || !(await holdsAll(safety, aside))) return false;
  const old = staging.held.at('old');
  if (lstatSync(old, { throwIfNoEntry: false })) return false;
  onDisk(old, () => renameSync(aside, old));
  onDisk(old, () => syncFolder(staging.parent.at('.')));
  crashPoint('swap-settled');
  return true;
}

/** The restore is in place already: whatever goes wrong here only means that the old folder is kept. */
async function holdsAll(safety: NonNullable<PlaceOptions['safety']>, aside: string): Promise<boolean> {
  try {
    return await safety.holdsAll(aside);
  } catch (error) {
    if (toAgentError(error).kind === 'unexpected') throw error;
    return false;
  }
}
