import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { ensureFolder, onDisk } from '../local/files.ts';
import {
  checkName,
  findMandate,
  getMandate,
  loadMandates,
  type Mandate,
  mandatesRoot,
  nameKey,
  overlaps,
} from '../mandate/mandates.ts';
import type { SnapshotInfo } from '../vault/vault.ts';
import type { Context } from './context.ts';
import type { Safe } from './open.ts';
import type { RestoreArgs } from './restore.ts';

/** Where a snapshot goes. */
export interface Target {
  readonly path: string;
  readonly mode: 'to' | 'new' | 'replace';
  /** The mandate that it then is on this computer; undefined with `--to`. */
  readonly mandate: Mandate | undefined;
  /** Which sentence of the dialog must be accepted; undefined when nothing is replaced. */
  readonly acceptance: 'current' | 'existing' | undefined;
  /** Set once the preview was shown, with its warning. */
  asked?: boolean;
}

/** The target that the flags mean. @throws AgentError `not-found`, `usage`, `nested-mandate` */
export function chooseTarget(context: Context, safe: Safe, snapshot: SnapshotInfo, args: RestoreArgs): Target {
  const mandates = loadMandates(context.home);
  if (args.to !== undefined) return freeFolder(context, args.to);
  if (args.intoCurrent) return replacing(getMandate(mandates, args.name), 'current');
  const name = checkName(args.as ?? '');
  const existing = findMandate(mandates, name);
  if (existing) return replacing(existing, existing.mandateId === snapshot.mandateId ? 'current' : 'existing');
  return asNew(context, safe, snapshot, mandates, name);
}

function freeFolder({ home }: Context, dir: string): Target {
  const path = resolve(dir);
  if (overlaps(home.dir, path))
    throw new AgentError('nested-mandate', 'the target overlaps the home folder', {
      key: 'error.nested-home',
      params: { path, home: home.dir },
    });
  return { path, mode: 'to', mandate: undefined, acceptance: undefined };
}

function replacing(mandate: Mandate, acceptance: 'current' | 'existing'): Target {
  return { path: mandate.path, mode: 'replace', mandate, acceptance };
}

/**
 * A mandate that is not on this computer: it is created beside the one restored from, or in the mandates folder. Under
 * its own name it continues that mandate, unless that is here already under another; else it is a new one.
 */
function asNew(
  context: Context,
  { config }: Safe,
  snapshot: SnapshotInfo,
  mandates: readonly Mandate[],
  name: string,
): Target {
  const source = mandates.find(({ mandateId }) => mandateId === snapshot.mandateId);
  const folder = source ? dirname(source.path) : mandatesRoot(config.mandatesRoot);
  const path = join(folder, name);
  refuseNesting(context, mandates, path);
  ensureFolder(folder);
  const continues = !source && nameKey(name) === nameKey(snapshot.mandateName);
  const mandateId = continues ? snapshot.mandateId : randomBytes(16).toString('hex');
  return {
    path,
    mode: isFree(path) ? 'new' : 'replace',
    mandate: { name, mandateId, path, modules: [] },
    acceptance: isFree(path) ? undefined : 'existing',
  };
}

function refuseNesting({ home }: Context, mandates: readonly Mandate[], path: string): void {
  const clash = mandates.find((mandate) => overlaps(mandate.path, path));
  if (clash)
    throw new AgentError('nested-mandate', `${path} overlaps the mandate ${clash.name}`, {
      params: { path, name: clash.name, other: clash.path },
    });
  if (overlaps(home.dir, path))
    throw new AgentError('usage', 'the mandates folder overlaps the home folder', { key: 'error.root-in-home' });
}

function isFree(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return true;
  return found.isDirectory() && onDisk(path, () => readdirSync(path)).length === 0;
}
