import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentError } from '../errors.ts';
import type { Mandate } from '../mandate/mandates.ts';
import type { ModuleFile, ModuleKind } from '../mandate/modules.ts';
import { isUnclean, JOURNAL_SUFFIXES } from './journals.ts';
import { type LockFile, readLockFiles } from './lock-files.ts';
import { platformProbe } from './platform-probe.ts';
import { type Holder, type OpenProbe, ProbeError } from './probe.ts';
import { judge, type StaleReason } from './stale-locks.ts';

/** A module that somebody works in, and how that is known. `file` is the module's file name. */
export interface OpenModule {
  readonly kind: ModuleKind;
  readonly file: string;
  readonly program?: string | undefined;
  readonly pid?: number | undefined;
  readonly how: 'process' | 'lock' | 'lock-file';
  /** Only with how 'lock-file': the name of that file, and who it says wrote it. */
  readonly lockFile?: string | undefined;
  readonly user?: string | undefined;
  readonly host?: string | undefined;
}

/** What was found beside and around the modules of one mandate. File names are relative to its folder. */
export interface OpenFindings {
  readonly open: readonly OpenModule[];
  /** Lock files whose process is gone: told, and no hindrance. */
  readonly stale: readonly { readonly file: string; readonly reason: StaleReason }[];
  /** Journals with content that nobody has open: the program did not close its file. They belong to the backup. */
  readonly unclean: readonly string[];
  /** Why processes could not be looked at; lock files were. */
  readonly unknown?: string | undefined;
}

interface Watched {
  readonly module: ModuleFile;
  readonly path: string;
}

/** Which modules of a mandate are open; `probe` is the platform's unless a test gives one. */
export async function findOpenModules(mandate: Mandate, probe?: OpenProbe): Promise<OpenFindings> {
  const [findings] = await findOpenIn([mandate], probe);
  return findings as OpenFindings;
}

/** As `findOpenModules` for several mandates, with one look at the processes of the computer; in the same order. */
export async function findOpenIn(mandates: readonly Mandate[], probe?: OpenProbe): Promise<OpenFindings[]> {
  const used = probe ?? (await platformProbe());
  const prepared = mandates.map((mandate) => prepare(mandate));
  const { holders, unknown } = await ask(
    used,
    prepared.flatMap(({ watched }) => watched.map(({ path }) => path)),
  );
  return Promise.all(prepared.map((one) => conclude(one, holders, used, unknown)));
}

interface Prepared {
  readonly folder: string;
  readonly watched: readonly Watched[];
  readonly locks: readonly LockFile[];
  readonly modules: readonly ModuleFile[];
}

/** The files of a mandate that tell: modules, their journals, their lock files, as far as they exist. */
function prepare({ path, modules }: Mandate): Prepared {
  if (modules.length === 0 || !existsSync(path)) return { folder: path, watched: [], locks: [], modules };
  const folder = realpathSync(path);
  const locks = readLockFiles(folder, modules);
  const watched = [
    ...modules.flatMap((module) =>
      ['', ...JOURNAL_SUFFIXES].map((suffix) => ({ module, path: join(folder, module.file + suffix) })),
    ),
    ...locks.map(({ module, name }) => ({ module, path: join(folder, name) })),
  ];
  return { folder, watched: watched.filter((one) => existsSync(one.path)), locks, modules };
}

async function ask(
  probe: OpenProbe,
  paths: readonly string[],
): Promise<{ holders: readonly Holder[]; unknown?: string }> {
  if (paths.length === 0) return { holders: [] };
  try {
    return { holders: await probe.holders(paths) };
  } catch (error) {
    if (error instanceof ProbeError) return { holders: [], unknown: error.message };
    throw error;
  }
}

async function conclude(
  { folder, watched, locks, modules }: Prepared,
  holders: readonly Holder[],
  probe: OpenProbe,
  unknown: string | undefined,
): Promise<OpenFindings> {
  const open: OpenModule[] = heldModules(watched, holders);
  const stale: { file: string; reason: StaleReason }[] = [];
  for (const lock of locks) {
    if (lock.owner.pid === process.pid) continue;
    const verdict = await judge(lock, folder, probe);
    if ('stale' in verdict) stale.push({ file: lock.name, reason: verdict.stale });
    else if (!open.some(({ file }) => file === lock.module.file)) open.push(lockedModule(lock, verdict.holder.program));
  }
  const closed = modules.filter(({ file }) => !open.some((one) => one.file === file));
  const unclean = closed.flatMap(({ file }) => JOURNAL_SUFFIXES.map((suffix) => file + suffix));
  return { open, stale, unclean: unclean.filter((name) => isThereUnclean(folder, name)), unknown };
}

function isThereUnclean(folder: string, name: string): boolean {
  const path = join(folder, name);
  return existsSync(path) && isUnclean(path);
}

/** One entry a module and process. An open file says more than a lock on it, a named holder more than an unnamed one. */
function heldModules(watched: readonly Watched[], holders: readonly Holder[]): OpenModule[] {
  const found = new Map<string, OpenModule>();
  for (const { path, how, pid, program } of holders) {
    const module = watched.find((one) => one.path === path)?.module;
    if (!module) continue;
    const key = `${module.file}\0${pid ?? ''}`;
    if (found.get(key)?.how !== 'process') found.set(key, { ...module, program, pid, how });
  }
  const all = [...found.values()];
  const named = new Set(all.flatMap(({ file, pid }) => (pid === undefined ? [] : [file])));
  return all.filter(({ file, pid, how }) => how === 'process' || pid !== undefined || !named.has(file));
}

function lockedModule({ module, name, owner }: LockFile, program: string | undefined): OpenModule {
  const { pid, user, host } = owner;
  return { ...module, program: program ?? owner.program, pid, user, host, how: 'lock-file', lockFile: name };
}

/** What is told and does not block. */
export type ClosedWarn = (warning: {
  readonly code: string;
  readonly params: Readonly<Record<string, string | number>>;
}) => void;

/** Virus scanners and indexers have a file open for an instant; who works in it still has it a moment later. */
const LOOKS = 3;
const PAUSE_MS = 200;
const MOST_NAMED = 3;

/**
 * Refuses while a module of the mandate is open. Told and no hindrance: lock files left by processes that are gone,
 * journals of a program that did not close its file, and that processes could not be looked at.
 * @throws AgentError `module-open` naming each module with its file, program and process
 */
export async function requireClosed(mandate: Mandate, warn: ClosedWarn, probe?: OpenProbe): Promise<void> {
  for (let look = 1; ; look++) {
    const findings = await findOpenModules(mandate, probe);
    if (findings.open.length === 0) return tell(mandate, findings, warn);
    const mayPass = findings.open.every(({ how }) => how !== 'lock-file');
    if (look === LOOKS || !mayPass) throw moduleOpen(mandate, findings.open);
    await pause(PAUSE_MS);
  }
}

/** What a refused mandate is told: every open module with where it is open, and how to get out. */
export function moduleOpen({ name }: Mandate, open: readonly OpenModule[]): AgentError {
  const named = open.slice(0, MOST_NAMED);
  const params: Record<string, string | number> = { mandate: name, more: open.length - named.length };
  for (const [at, one] of named.entries())
    Object.assign(params, { [`kind${at + 1}`]: one.kind, [`where${at + 1}`]: whereText(one) });
  const lock = open.find(({ how }) => how === 'lock-file')?.lockFile;
  const onlyLocks = open.every(({ how }) => how === 'lock-file');
  if (lock !== undefined) params['lock'] = lock;
  return new AgentError('module-open', `modules are open: ${open.map(whereText).join(' · ')}`, {
    key: open.length > MOST_NAMED ? 'error.module-open-more' : `error.module-open-${named.length}`,
    hint: onlyLocks ? 'hint.module-open-lock' : 'hint.module-open',
    params,
    details: { mandate: name, modules: open.map((one) => ({ ...one })) },
  });
}

/** `comptabilite.cre, Cresus.exe, pid 4711`: words that are the same in every language. */
export function whereText({ file, program, pid, lockFile, user, host }: OpenModule): string {
  const owner = [user, host].filter(Boolean).join('@');
  return [file, lockFile, program, pid === undefined ? '' : `pid ${pid}`, owner].filter(Boolean).join(', ');
}

function tell({ name }: Mandate, { stale, unclean, unknown }: OpenFindings, warn: ClosedWarn): void {
  for (const { file } of stale) warn({ code: 'stale-lock', params: { mandate: name, file } });
  for (const file of unclean) warn({ code: 'unclean-journal', params: { mandate: name, file } });
  if (unknown !== undefined) warn({ code: 'open-unknown', params: { mandate: name, reason: unknown } });
}
