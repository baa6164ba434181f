import { AgentError } from '../errors.ts';
import { changeState, loadState } from '../local/state.ts';
import { loadMandates, saveMandates } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { brief, counted, momentText, sizeText, visible } from '../render/text.ts';
import type { RestoreResult } from '../restore/restore.ts';
import type { SnapshotInfo } from '../vault/vault.ts';
import { requireAcceptance } from './acceptance.ts';
import type { Context } from './context.ts';
import { intentsFolder, lockHome } from './home-lock.ts';
import { openSafe, type Safe } from './open.ts';
import { restoredJson, restoredLines } from './restore-report.ts';
import { chooseTarget, type Target } from './restore-target.ts';
import { chooseSnapshot, snapshotsOf } from './snapshots.ts';

export interface RestoreArgs {
  readonly name: string;
  readonly snapshot: string;
  readonly intoCurrent: boolean;
  readonly as: string | undefined;
  readonly to: string | undefined;
  readonly acceptReplace: boolean;
}

/**
 * Restores a snapshot over the current mandate, as another mandate, or into a new folder. What would be replaced needs
 * its acceptance, and is kept whole beside the new folder.
 * @throws AgentError `usage`, `not-found`, `acceptance-missing`, and what the restore throws
 */
export async function restore(context: Context, args: RestoreArgs): Promise<Outcome> {
  requireOnePlace(args);
  using _lock = await lockHome(context);
  const safe = await openSafe(context, 'read');
  try {
    const snapshot = chooseSnapshot(snapshotsOf(context, safe.vault, args.name), args.snapshot, args.name);
    const target = chooseTarget(context, safe, snapshot, args);
    context.output.say(whatText(context, snapshot));
    await requireAcceptance(context, safe.vault, snapshot, target, args.acceptReplace);
    const result = await run(context, safe, snapshot, target);
    return await report(context, target, result);
  } finally {
    safe.close();
  }
}

function requireOnePlace({ intoCurrent, as, to }: RestoreArgs): void {
  const places = [intoCurrent, as !== undefined, to !== undefined].filter(Boolean).length;
  if (places === 1) return;
  throw new AgentError('usage', 'exactly one place to restore to is needed', {
    key: places === 0 ? 'error.restore-where' : 'error.restore-two',
    hint: places === 0 ? 'hint.restore-where' : 'hint.usage',
  });
}

function whatText({ texts }: Context, { id, receivedAt, comment, files, bytes }: SnapshotInfo): string {
  return texts('restore.what', {
    id: id.slice(0, 8),
    date: momentText(receivedAt),
    comment: comment ? ` ${texts('snapshots.comment', { comment: brief(comment, 200) })}` : '',
    files: counted(texts, 'files', files),
    bytes: sizeText(bytes, texts.language),
  });
}

async function run(context: Context, { vault }: Safe, snapshot: SnapshotInfo, target: Target): Promise<RestoreResult> {
  const { output, texts, signal } = context;
  const progress = new Progress(output, texts, 'restore', visible(snapshot.mandateName));
  const { restore: restoreSnapshot } = await import('../restore/restore.ts');
  const undo = note(context, snapshot, target);
  let done = false;
  try {
    const result = await restoreSnapshot({
      vault,
      snapshot: snapshot.id,
      target: target.path,
      mode: target.mode,
      intents: intentsFolder(context),
      replacedWord: texts('restore.replaced-word'),
      signal,
      progress: ({ files, bytes, totalBytes, downloadedBytes }) =>
        progress.update({ files, bytes, totalBytes, received: downloadedBytes }),
      warnNewer: (files, snapshotAt) => target.asked || warnNewer(context, files, snapshotAt),
    });
    done = true;
    register(context, target, result);
    return result;
  } finally {
    progress.finish(done);
    if (!done) undo();
  }
}

function warnNewer({ output, texts }: Context, files: readonly string[], snapshotAt: number): void {
  const params = { count: files.length, snapshot: momentText(snapshotAt), first: visible(files[0] ?? '') };
  output.warn('newer-on-disk', texts('warning.newer-on-disk', params));
}

/**
 * Before anything is put in place: which mandate it becomes, so that a run killed just then is completed by the next.
 * @returns takes the note back, for a restore that failed
 */
function note({ home, now }: Context, snapshot: SnapshotInfo, { mandate, mode }: Target): () => void {
  if (!mandate) return () => undefined;
  const { twins } = loadState(home, now());
  const twin = { sourceId: snapshot.mandateId, mandateId: mandate.mandateId, at: now() };
  const isTwin = mandate.mandateId !== snapshot.mandateId;
  changeState(home, now(), () => ({
    pending: mode === 'new' ? mandate : undefined,
    twins: isTwin ? [...twins, twin] : twins,
  }));
  return () => changeState(home, now(), () => ({ pending: undefined, twins }));
}

function register({ home, now }: Context, { mandate }: Target, { replacedKept, modules }: RestoreResult): void {
  if (!mandate) return;
  const others = loadMandates(home).filter(({ mandateId }) => mandateId !== mandate.mandateId);
  saveMandates(home, [...others, { ...mandate, modules }]);
  changeState(home, now(), ({ kept }) => ({
    pending: undefined,
    kept: replacedKept === null ? kept : [...kept, { mandate: mandate.name, path: replacedKept, at: now() }],
  }));
}

async function report(context: Context, target: Target, result: RestoreResult): Promise<Outcome> {
  const { restoreExitCode } = await import('../restore/restore.ts');
  return {
    json: restoredJson(target, result),
    lines: restoredLines(context, target, result),
    exitCode: restoreExitCode(result),
  };
}
