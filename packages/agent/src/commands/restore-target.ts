import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { chosenMandatesRoot } from '../local/config.ts';
import { onDisk } from '../local/files.ts';
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
import { detectModules } from '../mandate/modules.ts';
import type { SourceFacts } from '../restore/source.ts';
import type { Context } from './context.ts';

/** Which of the places; exactly one of the three. */
export interface TargetArgs {
  readonly name: string | undefined;
  readonly intoCurrent: boolean;
  readonly as: string | undefined;
  readonly to: string | undefined;
}

/** Where a backup goes. */
export interface Target {
  readonly path: string;
  readonly mode: 'to' | 'new' | 'replace';
  /** The mandate that it then is on this computer; undefined with `--to`. */
  readonly mandate: Mandate | undefined;
  /** Which sentence of the dialog must be accepted; undefined when nothing is replaced. */
  readonly acceptance: 'current' | 'existing' | undefined;
  /** Something is there that will be replaced: it gets a safety point first. */
  readonly replaces: boolean;
}

type Backup = Pick<SourceFacts, 'mandateId' | 'mandateName'>;

/** The target that the flags mean. @throws AgentError `not-found`, `usage`, `nested-mandate` */
export function chooseTarget(context: Context, backup: Backup, args: TargetArgs): Target {
  const mandates = loadMandates(context.home);
  if (args.to !== undefined) return freeFolder(context, args.to);
  if (args.intoCurrent) return replacing(getMandate(mandates, args.name ?? ''), 'current');
  const name = checkName(args.as ?? '');
  const existing = findMandate(mandates, name);
  if (existing) return replacing(existing, existing.mandateId === backup.mandateId ? 'current' : 'existing');
  return asNew(context, backup, mandates, name);
}

function freeFolder({ home }: Context, dir: string): Target {
  const path = resolve(dir);
  if (overlaps(home.dir, path))
    throw new AgentError('nested-mandate', 'the target overlaps the home folder', {
      key: 'error.nested-home',
      params: { path, home: home.dir },
    });
  return { path, mode: 'to', mandate: undefined, acceptance: undefined, replaces: false };
}

/** A mandate whose folder is gone has nothing to lose. */
export function replacing(mandate: Mandate, acceptance: 'current' | 'existing'): Target {
  const { path } = mandate;
  return { path, mode: 'replace', mandate, acceptance, replaces: !isFree(path) };
}

/**
 * A mandate that is not on this computer: it is created beside the one restored from, or in the mandates folder. Under
 * its own name it continues that mandate, unless that is here already under another; else it is a new one.
 */
function asNew(context: Context, backup: Backup, mandates: readonly Mandate[], name: string): Target {
  const source = mandates.find(({ mandateId }) => mandateId === backup.mandateId);
  const folder = source ? dirname(source.path) : mandatesRoot(chosenMandatesRoot(context.home));
  const path = join(folder, name);
  refuseNesting(context, mandates, path);
  const continues = !source && nameKey(name) === nameKey(backup.mandateName);
  const mandateId = continues ? backup.mandateId : randomBytes(16).toString('hex');
  const isNew = isFree(path);
  return {
    path,
    mode: isNew ? 'new' : 'replace',
    mandate: { name, mandateId, path, modules: isNew ? [] : modulesIn(path) },
    acceptance: isNew ? undefined : 'existing',
    replaces: !isNew,
  };
}

/** Of a folder that no mandate has: what is open in it must be known before it is replaced. */
function modulesIn(path: string): Mandate['modules'] {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ? detectModules(path) : [];
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
