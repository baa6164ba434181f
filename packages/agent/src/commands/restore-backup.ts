import { requireClosed } from '../open-modules/open-modules.ts';
import type { Outcome } from '../render/output.ts';
import { brief, counted, momentText, sizeText, visible } from '../render/text.ts';
import type { Preview } from '../restore/preview.ts';
import { requireAcceptance, showPreview } from './acceptance.ts';
import type { Context } from './context.ts';
import { warner } from './open.ts';
import type { RestoreArgs } from './restore-args.ts';
import { previewOutcome } from './restore-report.ts';
import { runRestore } from './restore-run.ts';
import type { OpenedBackup } from './restore-source.ts';
import type { RestoreStores } from './restore-stores.ts';
import type { Target } from './restore-target.ts';

/** Shows the backup and what it would change, and restores it once that is accepted. */
export async function restoreBackup(
  context: Context,
  stores: RestoreStores,
  backup: OpenedBackup,
  target: Target,
  { acceptReplace, paths, dryRun }: Pick<RestoreArgs, 'acceptReplace' | 'paths' | 'dryRun'>,
): Promise<Outcome> {
  const only = paths.length > 0 ? paths : undefined;
  context.output.say(whatText(context, backup));
  if (target.replaces && target.mandate && !dryRun) await requireClosed(target.mandate, warner(context));
  const preview = target.replaces || dryRun ? await previewed(context, backup, target, only) : undefined;
  if (dryRun && preview) return previewOutcome(context, backup, target, preview);
  if (preview) await requireAcceptance(context, preview, target, acceptReplace);
  return runRestore(context, stores, { backup, target, only, preview });
}

async function previewed(
  context: Context,
  backup: OpenedBackup,
  target: Target,
  only: readonly string[] | undefined,
): Promise<Preview> {
  const { previewRestore } = await import('../restore/preview.ts');
  const preview = await previewRestore({ source: backup.source, target: target.path, only, signal: context.signal });
  showPreview(context, preview, backup, target);
  return preview;
}

function whatText({ texts }: Context, { source, date, file }: OpenedBackup): string {
  const { kind, id, comment, files, bytes, mandateName } = source;
  return texts(`restore.what-${kind}`, {
    id: id.slice(0, 8),
    file: visible(file ?? ''),
    mandate: visible(mandateName),
    date: momentText(date),
    comment: comment ? ` ${texts('snapshots.comment', { comment: brief(comment, 2000) })}` : '',
    files: counted(texts, 'files', files),
    bytes: sizeText(bytes, texts.language),
  });
}
