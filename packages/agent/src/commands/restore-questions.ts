import { lstatSync } from 'node:fs';
import { resolve } from 'node:path';
import type { CopyInfo } from '../copies/list-copies.ts';
import { AgentError } from '../errors.ts';
import { loadMandates } from '../mandate/mandates.ts';
import type { TextKey } from '../render/i18n.ts';
import { brief, counted, momentText, sizeText, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { mandateIdOf } from './open-points.ts';
import type { RestoreArgs } from './restore-args.ts';
import { noPoints } from './restore-source.ts';
import type { RestoreStores } from './restore-stores.ts';
import { snapshotsOf } from './snapshots.ts';

const TRIES = 3;
/** Older ones are restored by their number. */
const LISTED = 30;

/** Whether somebody at a terminal left out what to restore, or where. */
export function mayAsk({ prompt, output }: Context, args: RestoreArgs): boolean {
  return prompt.interactive && !output.options.json && (!hasSource(args) || !hasPlace(args));
}

function hasSource({ snapshot, copy, point }: RestoreArgs): boolean {
  return [snapshot, copy, point].some((one) => one !== undefined);
}

function hasPlace({ intoCurrent, as, to }: RestoreArgs): boolean {
  return intoCurrent || as !== undefined || to !== undefined;
}

/**
 * The two questions of the dialog, as far as the flags do not answer them: what to restore, and where.
 * @throws AgentError `usage` after three answers that are none, `interrupted`, `not-found`
 */
export async function askRest(context: Context, stores: RestoreStores, args: RestoreArgs): Promise<RestoreArgs> {
  const named = args.copy !== undefined ? args : { ...args, name: args.name ?? (await askMandate(context)) };
  const withSource = hasSource(named) ? named : { ...named, ...(await askSource(context, stores, named.name ?? '')) };
  return hasPlace(withSource) ? withSource : { ...withSource, ...(await askPlace(context, withSource)) };
}

async function askMandate(context: Context): Promise<string> {
  const names = loadMandates(context.home).map(({ name }) => name);
  if (names.length === 1 && names[0] !== undefined) return names[0];
  if (names.length === 0) return askText(context, 'restore.ask-name');
  return names[(await choose(context, 'restore.ask-mandate', names.map(visible))) - 1] ?? '';
}

type Source = Pick<RestoreArgs, 'copy' | 'point' | 'snapshot'>;

async function askSource(context: Context, stores: RestoreStores, name: string): Promise<Source> {
  const { texts } = context;
  const kinds = [texts('restore.choice-copy'), texts('restore.choice-point')];
  if (stores.isConnected) kinds.push(texts('restore.choice-snapshot'));
  const nothing = { copy: undefined, point: undefined, snapshot: undefined };
  const kind = await choose(context, 'restore.ask-what', kinds);
  if (kind === 1) return { ...nothing, copy: await askFile(context) };
  if (kind === 2) return { ...nothing, point: await askPoint(context, stores, name) };
  return { ...nothing, snapshot: await askSnapshot(context, stores, name) };
}

/** A file, or a folder or stick with copies to choose from. */
async function askFile(context: Context): Promise<string> {
  const path = resolve(await askText(context, 'restore.ask-file'));
  if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  const { listCopies } = await import('../copies/list-copies.ts');
  const { unattendedPassword } = await import('./copy-password.ts');
  const found = await Array.fromAsync(listCopies(path, { password: unattendedPassword(context) }));
  const copies = found.filter(({ error }) => !error).toSorted((a, b) => dateOf(b) - dateOf(a));
  if (copies.length === 0)
    throw new AgentError('not-found', `no copies in ${path}`, { key: 'error.no-copies', params: { path } });
  const lines = copies.map((copy) => `${momentText(dateOf(copy))}  ${visible(copy.name)}`);
  return copies[(await choose(context, 'restore.ask-copy', lines)) - 1]?.path ?? path;
}

function dateOf({ about, modifiedAt }: CopyInfo): number {
  return about?.createdAt ?? modifiedAt;
}

async function askPoint(context: Context, stores: RestoreStores, name: string): Promise<string> {
  const points = await stores.pointsIfAny();
  const { texts } = context;
  const list = points?.list(mandateIdOf(context, points, name)).slice(0, LISTED) ?? [];
  if (list.length === 0) throw noPoints(name);
  const lines = list.map(({ reason, ...point }) => lineOf(context, { ...point, word: texts(`points.${reason}`) }));
  return list[(await choose(context, 'restore.ask-point', lines)) - 1]?.id ?? '';
}

async function askSnapshot(context: Context, stores: RestoreStores, name: string): Promise<string> {
  const { vault } = await stores.safe();
  const live = snapshotsOf(context, vault, name).filter(
    (one) => one.forgottenAt === undefined && !vault.mayBeGone(one.id),
  );
  const list = live.toReversed().slice(0, LISTED);
  if (list.length === 0)
    throw new AgentError('not-found', 'no snapshots', {
      key: 'error.no-snapshot-yet',
      hint: 'hint.none',
      params: { name },
    });
  const lines = list.map((snapshot) => lineOf(context, { ...snapshot, createdAt: snapshot.receivedAt, word: '' }));
  return list[(await choose(context, 'restore.ask-snapshot', lines)) - 1]?.id ?? '';
}

interface Listed {
  readonly createdAt: number;
  readonly files: number;
  readonly bytes: number;
  readonly comment: string;
  readonly word: string;
}

function lineOf({ texts }: Context, { createdAt, files, bytes, comment, word }: Listed): string {
  const said = comment ? texts('snapshots.comment', { comment: brief(comment, 60) }) : '';
  const parts = [momentText(createdAt), counted(texts, 'files', files), sizeText(bytes, texts.language), word, said];
  return parts.filter((part) => part !== '').join(', ');
}

async function askPlace(context: Context, { name }: RestoreArgs): Promise<Partial<RestoreArgs>> {
  const { texts } = context;
  const hasCurrent = name !== undefined && loadMandates(context.home).length > 0;
  const places: { line: string; ask: () => Promise<Partial<RestoreArgs>> }[] = [
    ...(hasCurrent ? [{ line: texts('restore.choice-current'), ask: async () => ({ intoCurrent: true }) }] : []),
    { line: texts('restore.choice-other'), ask: async () => ({ as: await askText(context, 'restore.ask-as') }) },
    { line: texts('restore.choice-folder'), ask: async () => ({ to: await askText(context, 'restore.ask-to') }) },
  ];
  const chosen = await choose(
    context,
    'restore.ask-where',
    places.map(({ line }) => line),
  );
  return (await places[chosen - 1]?.ask()) ?? {};
}

/** Shows numbered lines. @returns the number that was typed, from 1 */
async function choose(
  { prompt, output, texts }: Context,
  question: TextKey,
  lines: readonly string[],
): Promise<number> {
  output.stderr.write(`\n${texts(question)}\n`);
  for (const [index, line] of lines.entries()) output.stderr.write(`  ${String(index + 1).padStart(2)}  ${line}\n`);
  for (let n = 1; n <= TRIES; n++) {
    const answer = await prompt.line(texts('restore.choose', { last: lines.length }));
    if (/^\d{1,4}$/.test(answer) && Number(answer) >= 1 && Number(answer) <= lines.length) return Number(answer);
  }
  throw noAnswer();
}

async function askText({ prompt, texts }: Context, question: TextKey): Promise<string> {
  for (let n = 1; n <= TRIES; n++) {
    const answer = await prompt.line(texts(question));
    if (answer !== '') return answer;
  }
  throw noAnswer();
}

function noAnswer(): AgentError {
  return new AgentError('usage', 'no answer to the question', { key: 'error.no-answer', hint: 'hint.usage' });
}
