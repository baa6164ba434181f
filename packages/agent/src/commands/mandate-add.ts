import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AgentError } from '../errors.ts';
import { findConfig, readToken } from '../local/config.ts';
import { type KnownMandate, loadState } from '../local/state.ts';
import {
  checkFolder,
  checkName,
  findMandate,
  loadMandates,
  type Mandate,
  nameKey,
  saveMandates,
} from '../mandate/mandates.ts';
import { detectModules, type ModuleFile, moduleKind } from '../mandate/modules.ts';
import type { Outcome } from '../render/output.ts';
import { visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { mandateJson } from './mandate-list.ts';
import { unattendedSecret } from './secret-source.ts';

export interface MandateAddArgs {
  readonly name: string;
  readonly path: string;
  readonly sameAs: string | undefined;
  readonly modules: readonly string[];
}

/**
 * Registers a folder as a mandate; its module files are fixed now. A name that exists in the Safe is continued only
 * when its owner says so (`--same-as`, or the answer to the question).
 * @throws AgentError `usage`, `path-missing`, `nested-mandate`, `not-found`
 */
export async function mandateAdd(context: Context, args: MandateAddArgs): Promise<Outcome> {
  const { home, texts } = context;
  using _lock = await lockHome(context);
  const mandates = loadMandates(home);
  const name = checkName(args.name);
  const taken = findMandate(mandates, name);
  if (taken) throw nameTaken(taken);
  const path = checkFolder(home, mandates, args.path);
  const modules = allModules(path, args.modules);
  const origin = await continued(context, name, args.sameAs);
  const already = mandates.find((mandate) => mandate.mandateId === origin?.mandateId);
  if (already) throw alreadyHere(already);
  const mandate: Mandate = {
    name,
    mandateId: origin?.mandateId ?? randomBytes(16).toString('hex'),
    path,
    modules,
  };
  saveMandates(home, [...mandates, mandate]);
  const params = { name: visible(name), path: visible(path), other: visible(origin?.name ?? '') };
  return {
    json: { mandates: [mandateJson(mandate, loadState(home, context.now()))] },
    lines: [texts(origin ? 'mandate.continued' : 'mandate.added', params), modulesLine(context, modules)],
  };
}

/** One line that names the modules of a mandate. */
export function modulesLine({ texts }: Context, modules: readonly ModuleFile[]): string {
  if (modules.length === 0) return texts('mandate.no-modules');
  const list = modules.map(({ kind, file }) => `${texts(`module.${kind}`)} (${visible(file)})`).join(', ');
  return texts('mandate.modules', { list });
}

function allModules(path: string, named: readonly string[]): ModuleFile[] {
  const found = detectModules(path);
  const added = named.map((file) => namedModule(path, file));
  return [...found, ...added.filter(({ file }) => found.every((module) => module.file !== file))];
}

/** `--module` names a file whose extension says nothing; what it is then counts as accounting, the widest of the three. */
function namedModule(path: string, file: string): ModuleFile {
  const isThere = basename(file) === file && statSync(join(path, file), { throwIfNoEntry: false })?.isFile() === true;
  if (isThere) return { kind: moduleKind(file) ?? 'accounting', file };
  throw new AgentError('usage', `${file} is no file directly in the mandate`, {
    key: 'error.not-a-module',
    params: { file },
  });
}

/** The mandate of the Safe that the new one continues, or undefined when it is a new one. */
async function continued(
  context: Context,
  name: string,
  sameAs: string | undefined,
): Promise<KnownMandate | undefined> {
  const known = await knownInSafe(context, sameAs !== undefined);
  const find = (wanted: string): KnownMandate | undefined =>
    known.findLast((mandate) => nameKey(mandate.name) === nameKey(wanted));
  if (sameAs !== undefined) return find(sameAs) ?? refuseUnknown(sameAs, known);
  const same = find(name);
  if (!same) return undefined;
  if (await agreesToContinue(context, name)) return same;
  throw new AgentError('usage', `the Safe has a mandate named ${name}`, {
    key: 'error.name-in-safe',
    hint: 'hint.name-in-safe',
    params: { name },
    details: { name },
  });
}

async function agreesToContinue({ prompt, texts, yes }: Context, name: string): Promise<boolean> {
  if (yes) return true;
  if (!prompt.interactive) return false;
  return prompt.agree(texts('mandate.ask-continue', { name: visible(name) }), [texts('answer.yes')]);
}

/**
 * The mandates in the Safe. What was seen when the vault was last open here answers without the secret key; a computer
 * that never opened it must look. When it cannot (not connected, no vault, nobody to ask), `send` still refuses to mix.
 */
async function knownInSafe(context: Context, needed: boolean): Promise<readonly KnownMandate[]> {
  const { home, now, prompt } = context;
  const known = loadState(home, now()).known;
  if (known && !needed) return known;
  if (!findConfig(home) || !readToken(home)) return known ?? [];
  const { recallRoot } = await import('../local/keyring.ts');
  const canOpen = prompt.interactive || unattendedSecret(context) !== undefined || (await recallRoot(home));
  if (!canOpen && !needed) return [];
  const { lookIntoSafe } = await import('./open.ts');
  return lookIntoSafe(context);
}

function refuseUnknown(name: string, known: readonly KnownMandate[]): never {
  throw new AgentError('not-found', `the Safe has no mandate named ${name}`, {
    key: 'error.no-mandate',
    hint: known.length > 0 ? 'hint.no-mandate' : 'hint.none',
    params: { name, known: known.map((mandate) => mandate.name).join(', ') },
  });
}

function nameTaken({ name, path }: Mandate): AgentError {
  return new AgentError('usage', `a mandate is named ${name} already`, {
    key: 'error.name-taken',
    hint: 'hint.name-taken',
    params: { name, path },
  });
}

function alreadyHere({ name, path }: Mandate): AgentError {
  return new AgentError('usage', `this mandate is here already as ${name}`, {
    key: 'error.already-here',
    hint: 'hint.remove-first',
    params: { name, path },
  });
}
