import { ALWAYS_KEPT, asHash, dateNumber, zurichDay } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import type { Outcome } from '../render/output.ts';
import { brief, dateText, momentText, sizeText, table, visible } from '../render/text.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import { withAnchor } from './anchoring.ts';
import { requireYes } from './confirm.ts';
import type { Context } from './context.ts';
import { Elevation } from './elevation.ts';
import { lockHome } from './home-lock.ts';
import { openSafe, rememberKnown, type Safe } from './open.ts';
import { noteRetention } from './retention.ts';
import { dateOfNumber, snapshotJson } from './snapshot-json.ts';
import { chooseSnapshot } from './snapshots.ts';

const DAY_MS = 86_400_000;

export interface ForgetArgs {
  readonly ids: readonly string[];
  /** A code that was mailed, or given by the operator. */
  readonly elevation: string | undefined;
}

/**
 * Forgets snapshots: they can be taken back until the end of the lock, and are deleted after it. Needs an elevation.
 * @throws AgentError `usage` for one on hold, `acceptance-missing`, `elevation-required`, `code-refused`, `not-found`
 */
export async function forget(context: Context, args: ForgetArgs): Promise<Outcome> {
  const { texts } = context;
  using _lock = await lockHome(context);
  const safe = await openSafe(context, 'write');
  try {
    const { vault } = safe;
    await withAnchor(context, vault);
    const named = snapshotsNamed(vault, args.ids);
    for (const snapshot of named) refuseHeld(context, snapshot);
    const chosen = named.filter(({ forgottenAt }) => forgottenAt === undefined);
    const lockDays = noteRetention(context, await safe.remote.account());
    if (chosen.length > 0) {
      for (const line of rows(context, chosen)) context.output.say(line);
      warnOfStaying(context, vault, chosen);
      const until = dateText(context.now() + lockDays * DAY_MS);
      context.output.say(texts('forget.until', { count: chosen.length, date: until }));
      await requireYes(context, texts('forget.ask', { count: chosen.length }));
      await appendAll(context, safe, chosen, 'snapshot-forget', args.elevation);
    }
    return outcome(vault, named, [
      ...(chosen.length > 0 ? [`✓ ${texts('forget.done', { count: chosen.length })}`] : []),
      ...(chosen.length < named.length ? [texts('forget.already', { count: named.length - chosen.length })] : []),
      ...named.flatMap((snapshot) => untilLine(context, vault, snapshot)),
    ]);
  } finally {
    safe.close();
  }
}

/** Takes back what was forgotten, as long as it is not deleted. @throws AgentError `not-found` when it is too late */
export async function unforget(context: Context, ids: readonly string[]): Promise<Outcome> {
  const { texts } = context;
  using _lock = await lockHome(context);
  const safe = await openSafe(context, 'write');
  try {
    const { vault } = safe;
    await withAnchor(context, vault);
    const named = snapshotsNamed(vault, ids);
    const chosen = named.filter(({ forgottenAt }) => forgottenAt !== undefined);
    await appendAll(context, safe, chosen, 'snapshot-unforget', undefined);
    return outcome(vault, named, [
      ...(chosen.length > 0 ? [`✓ ${texts('unforget.done', { count: chosen.length })}`] : []),
      ...(chosen.length < named.length ? [texts('unforget.already', { count: named.length - chosen.length })] : []),
    ]);
  } finally {
    safe.close();
  }
}

/** The snapshots meant, each once. @throws AgentError `not-found` also for those that are let go */
function snapshotsNamed(vault: Vault, ids: readonly string[]): SnapshotInfo[] {
  const all = vault.everySnapshot();
  const found = new Map<string, SnapshotInfo>();
  for (const id of ids) {
    if (id.toLowerCase() === 'latest') throw new AgentError('not-found', 'latest is no id', unknown(id));
    const snapshot = chooseSnapshot(all, id, '');
    if (vault.mayBeGone(snapshot.id)) throw vault.letGo(snapshot.id);
    found.set(snapshot.id, snapshot);
  }
  return [...found.values()];
}

function unknown(id: string) {
  return { key: 'error.unknown-snapshot', hint: 'hint.no-snapshot', params: { id }, details: { id } };
}

/** What the law keeps is never forgotten: nothing of the whole command is done then. */
function refuseHeld({ now }: Context, { id, holdUntil, forgottenAt }: SnapshotInfo): void {
  if (forgottenAt !== undefined || holdUntil < dateNumber(zurichDay(now()))) return;
  throw new AgentError('usage', `snapshot ${id} is on hold`, {
    key: 'error.snapshot-held',
    hint: 'hint.snapshot-held',
    params: { id: id.slice(0, 8), date: dateOfNumber(holdUntil).text, year: Math.floor(holdUntil / 10_000) - 10 },
    details: { id, holdUntil: dateOfNumber(holdUntil).iso },
  });
}

/** The last three of a mandate stay on the server whatever is asked: said before, so that nobody counts on their deletion. */
function warnOfStaying({ texts, output }: Context, vault: Vault, chosen: readonly SnapshotInfo[]): void {
  for (const ref of new Set(chosen.map(({ mandateRef }) => mandateRef))) {
    const last = new Set(
      vault
        .everySnapshot(ref)
        .slice(-ALWAYS_KEPT)
        .map(({ id }) => id),
    );
    for (const { id } of chosen)
      if (last.has(id)) output.warn('snapshot-stays', texts('warning.snapshot-stays', { id: id.slice(0, 8) }));
  }
}

async function appendAll(
  context: Context,
  { vault, remote }: Safe,
  chosen: readonly SnapshotInfo[],
  kind: 'snapshot-forget' | 'snapshot-unforget',
  code: string | undefined,
): Promise<void> {
  const elevation = new Elevation(context, remote, code);
  for (const { id, mandateRef } of chosen) {
    context.signal.throwIfAborted();
    await elevation.run(() => vault.append(kind, { mandateRef, subject: asHash(id) }));
  }
  rememberKnown(context, vault);
}

function outcome(vault: Vault, named: readonly SnapshotInfo[], lines: string[]): Outcome {
  const now = named.map(({ id }) => vault.snapshot(id));
  return { json: { snapshots: now.map((each) => snapshotJson(vault, each)) }, lines };
}

function untilLine({ texts }: Context, vault: Vault, { id, mandateRef }: SnapshotInfo): string[] {
  const fate = vault.fate({ id, mandateRef });
  if (fate.state !== 'forgotten') return [];
  const params = { id: id.slice(0, 8) };
  if (fate.lockedUntil === undefined) return [`  ${texts('forget.stays', params)}`];
  return [`  ${texts('forget.until-one', { ...params, date: dateText(fate.lockedUntil) })}`];
}

function rows({ texts }: Context, chosen: readonly SnapshotInfo[]): string[] {
  return table(
    chosen.map(({ id, mandateName, receivedAt, bytes, comment }) => [
      `  ${id.slice(0, 8)}`,
      visible(mandateName),
      momentText(receivedAt),
      sizeText(bytes, texts.language),
      comment ? texts('snapshots.comment', { comment: brief(comment, 60) }) : '',
    ]),
    [3],
  );
}
