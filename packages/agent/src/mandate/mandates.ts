import { realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { readJson, writeJson } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { shape } from '../local/shape.ts';
import type { ModuleFile, ModuleKind } from './modules.ts';

/** A folder of this computer that is sent as the mandate `mandateId` (32 hex digits, drawn when the mandate was made). */
export interface Mandate {
  readonly name: string;
  readonly mandateId: string;
  readonly path: string;
  readonly modules: readonly ModuleFile[];
}

const MAX_NAME = 20;
const WINDOWS_RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])$/i;
const WINDOWS_FORBIDDEN = /[<>:"/\\|?*\p{Cc}\p{Cf}\p{Cn}\p{Cs}\p{Co}]/u;
const MODULE_KINDS: readonly string[] = ['accounting', 'invoicing', 'payroll'] satisfies ModuleKind[];

/**
 * The mandates of this computer, by name.
 * @throws AgentError `usage` when the file is damaged: folders cannot be guessed, so it is never begun anew
 */
export function loadMandates(home: Home): Mandate[] {
  const read = readJson(home.mandates, checkList);
  if (read.found) return read.value;
  if (read.damaged === undefined) return [];
  throw new AgentError('usage', `mandates.json is damaged: ${read.damaged}`, {
    key: 'error.mandates-damaged',
    hint: 'hint.mandates-damaged',
    params: { path: home.mandates, reason: read.damaged },
  });
}

/** Writes the list durably, in the order of the names. */
export function saveMandates(home: Home, mandates: readonly Mandate[]): void {
  writeJson(
    home.mandates,
    mandates.toSorted((a, b) => a.name.localeCompare(b.name)),
  );
}

/** What makes two names the same: Unicode form, case, and what file systems fold. */
export function nameKey(name: string): string {
  return name.normalize('NFKC').toLocaleLowerCase('und').normalize('NFC');
}

/** The mandate with this name, ignoring case and Unicode form. */
export function findMandate(mandates: readonly Mandate[], name: string): Mandate | undefined {
  return mandates.find((mandate) => nameKey(mandate.name) === nameKey(name));
}

/** The mandate with this name. @throws AgentError `not-found` */
export function getMandate(mandates: readonly Mandate[], name: string): Mandate {
  const found = findMandate(mandates, name);
  if (found) return found;
  const known = mandates.map((mandate) => mandate.name).join(', ');
  throw new AgentError('not-found', `no mandate is named ${name}`, {
    key: 'error.no-mandate',
    hint: known ? 'hint.no-mandate' : 'hint.no-mandate-yet',
    params: { name, known },
    details: { name },
  });
}

/**
 * The name as it is kept (NFC): it becomes a folder's name on any computer, Windows included.
 * @throws AgentError `usage`
 */
export function checkName(name: string): string {
  const kept = name.normalize('NFC').trim();
  const reason = nameDefect(kept);
  if (reason === undefined) return kept;
  throw new AgentError('usage', `the name is refused: ${reason}`, {
    key: `error.name-${reason}`,
    hint: 'hint.name',
    params: { name: kept, max: MAX_NAME },
  });
}

function nameDefect(name: string): 'empty' | 'long' | 'characters' | 'reserved' | undefined {
  if (name === '') return 'empty';
  if ([...name].length > MAX_NAME) return 'long';
  if (WINDOWS_FORBIDDEN.test(name) || name.startsWith('.') || name.endsWith('.')) return 'characters';
  if (WINDOWS_RESERVED.test(name.split('.')[0]?.trim() ?? '')) return 'reserved';
  return undefined;
}

/**
 * The folder of a mandate as an absolute path with its links resolved; it must exist, and lie neither in nor around
 * another mandate or the agent's own home.
 * @throws AgentError `path-missing`, `nested-mandate`, `permission`
 */
export function checkFolder(home: Home, mandates: readonly Mandate[], folder: string): string {
  const path = existingFolder(folder);
  const clash = mandates.find((mandate) => overlaps(realOr(mandate.path), path));
  if (clash)
    throw new AgentError('nested-mandate', `${path} overlaps the mandate ${clash.name}`, {
      params: { path, name: clash.name, other: clash.path },
      details: { path, mandate: clash.name },
    });
  if (overlaps(realOr(home.dir), path))
    throw new AgentError('nested-mandate', `${path} overlaps the home folder`, {
      key: 'error.nested-home',
      params: { path, home: home.dir },
    });
  return path;
}

function existingFolder(folder: string): string {
  const path = resolve(folder);
  try {
    const real = realpathSync(path);
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES')
      throw new AgentError('permission', `${path} cannot be read`, { params: { path }, cause: error });
    throw missing(path, error);
  }
  throw missing(path);
}

function missing(path: string, cause?: unknown): AgentError {
  return new AgentError('path-missing', `${path} is no folder`, { params: { path }, details: { path }, cause });
}

function realOr(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // a mandate whose folder is away (an unplugged disk) still claims its path
  }
}

/** True when one path is the other or lies in it. */
export function overlaps(a: string, b: string): boolean {
  return contains(a, b) || contains(b, a);
}

function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === '' || (way !== '..' && !/^\.\.[/\\]/.test(way) && !/^([a-z]:|[/\\])/i.test(way));
}

/** The folder in which restored mandates are created when nothing else says where. */
export function mandatesRoot(configured: string | undefined): string {
  return configured ?? join(homedir(), 'Mandats');
}

function checkList(value: unknown): Mandate[] {
  return shape({ mandates: value }).list('mandates', checkMandate);
}

/** Reads one mandate as files of the home hold it. */
export function checkMandate(value: unknown): Mandate {
  const fields = shape(value, 'mandate');
  return {
    name: fields.text('name'),
    mandateId: fields.text('mandateId'),
    path: fields.text('path'),
    modules: fields.list('modules', (item) => {
      const module = shape(item, 'module');
      const kind = module.text('kind');
      if (!MODULE_KINDS.includes(kind)) throw new TypeError(`kind is ${kind}`);
      return { kind: kind as ModuleKind, file: module.text('file') };
    }),
  };
}
