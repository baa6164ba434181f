import { toAgentError } from '../errors.ts';
import { changeState } from '../local/state.ts';
import type { Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { visible } from '../render/text.ts';
import type { RestoreOptions, RestoreResult } from '../restore/options.ts';
import type { Preview } from '../restore/preview.ts';
import type { RestoreNote } from '../restore/register.ts';
import { standingOf } from './backup-standing.ts';
import type { Context } from './context.ts';
import { intentsFolder } from './home-lock.ts';
import { warner } from './open.ts';
import { restoredJson, restoredLines } from './restore-report.ts';
import type { OpenedBackup } from './restore-source.ts';
import type { RestoreStores } from './restore-stores.ts';
import type { Target } from './restore-target.ts';

export interface AcceptedRestore {
  readonly backup: OpenedBackup;
  readonly target: Target;
  /** Patterns of `--path`. */
  readonly only: readonly string[] | undefined;
  /** What was shown. */
  readonly preview: Preview | undefined;
}

/** Restores what was accepted, and notes it. @throws AgentError as `restore` of the engine */
export async function runRestore(context: Context, stores: RestoreStores, work: AcceptedRestore): Promise<Outcome> {
  const { output, texts, signal, now } = context;
  const { backup, target, only, preview } = work;
  const { source } = backup;
  const progress = new Progress(output, texts, 'restore', visible(source.mandateName));
  const { restore, restoreExitCode } = await import('../restore/restore.ts');
  let done = false;
  begun(context, target);
  try {
    const result = await restore({
      ...{ source, only, signal, now, compared: preview },
      target: target.path,
      mode: target.mode,
      intents: intentsFolder(context),
      replacedWord: texts('restore.replaced-word'),
      safety: await safetyNet(context, stores, target),
      ...(await noting(context, work)),
      progress: ({ files, bytes, totalBytes, downloadedBytes }) =>
        progress.update({ files, bytes, totalBytes, received: downloadedBytes }),
    });
    done = true;
    ended(context, target);
    return {
      json: restoredJson(target, backup, result),
      lines: restoredLines(context, target, result),
      exitCode: restoreExitCode(result),
    };
  } catch (error) {
    // what was interrupted is there to be taken up again, and `status` says so
    if (toAgentError(error).kind !== 'interrupted') ended(context, target);
    throw error;
  } finally {
    progress.finish(done);
  }
}

function begun({ home, now }: Context, { path: target }: Target): void {
  changeState(home, now(), ({ unfinished = [] }) => ({
    unfinished: [...unfinished.filter((one) => one.target !== target), { target, at: now() }],
  }));
}

function ended({ home, now }: Context, { path: target }: Target): void {
  changeState(home, now(), ({ unfinished = [] }) => ({
    unfinished: unfinished.filter((one) => one.target !== target),
  }));
}

async function safetyNet(
  context: Context,
  stores: RestoreStores,
  { mandate, replaces }: Target,
): Promise<RestoreOptions['safety']> {
  if (!replaces || mandate === undefined) return undefined;
  const { PointNet } = await import('../restore/point-net.ts');
  const progress = new Progress(context.output, context.texts, 'point', visible(mandate.name));
  const points = await stores.points();
  return new PointNet({
    ...{ points, mandate, warn: warner(context), signal: context.signal },
    onProgress: (now) => progress.update(standingOf(now)),
  });
}

/** A plain folder is nobody's mandate: nothing is noted of it. */
async function noting(
  { home, now }: Context,
  { backup: { source }, target: { mandate, path }, only }: AcceptedRestore,
): Promise<Pick<RestoreOptions, 'note' | 'noted'>> {
  if (!mandate) return {};
  const [{ registerRestore }, { treeStamp }] = await Promise.all([
    import('../restore/register.ts'),
    import('../restore/compare.ts'),
  ]);
  const { kind, id, mandateId: sourceId } = source;
  const at = now();
  const noteWith = (safetyPoint: string | null): RestoreNote => ({
    mandate: { ...mandate, modules: modulesAfter(mandate.modules, source.modules, only !== undefined) },
    ...{ sourceId, kind, id, at, safetyPoint },
  });
  return {
    note: (safety) => noteWith(safety?.id ?? null),
    noted: ({ safetyPoint, replacedKept }: RestoreResult) =>
      registerRestore(home, noteWith(safetyPoint), { replacedKept, stamp: treeStamp(path) }),
  };
}

/** The backup's modules; where only single files were restored, those that the mandate had stay. */
function modulesAfter(
  before: RestoreNote['mandate']['modules'],
  restored: RestoreNote['mandate']['modules'],
  partly: boolean,
): RestoreNote['mandate']['modules'] {
  if (!partly) return restored;
  return [...before, ...restored.filter(({ file }) => before.every((one) => one.file !== file))];
}
