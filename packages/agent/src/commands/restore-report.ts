import type { Outcome } from '../render/output.ts';
import { counted, countText, durationText, sizeText, visible } from '../render/text.ts';
import type { RestoreResult } from '../restore/options.ts';
import type { Preview } from '../restore/preview.ts';
import type { Context } from './context.ts';
import type { OpenedBackup } from './restore-source.ts';
import type { Target } from './restore-target.ts';
import { problemText } from './show.ts';

const LISTED = 20;

/** A restore as scripts see it. */
export function restoredJson(
  { mandate }: Target,
  { file }: OpenedBackup,
  result: RestoreResult,
): Record<string, unknown> {
  return {
    ...result,
    source: { ...result.source, ...(file !== undefined && { file }) },
    mandate: mandate?.name ?? null,
    dryRun: false,
  };
}

/** What a restore would do, with `--dry-run`. Exit code 0: nothing was done, so nothing lacks. */
export function previewOutcome(
  { texts }: Context,
  { source: { kind, id }, file }: OpenedBackup,
  { mandate, path, acceptance }: Target,
  { changes, newer, files, bytes, problems, renamed }: Preview,
): Outcome {
  return {
    json: {
      source: { kind, id, ...(file !== undefined && { file }) },
      target: path,
      mandate: mandate?.name ?? null,
      ...{ files, bytes, changes, problems, renamed },
      newerOnDisk: newer,
      needsAcceptance: acceptance !== undefined,
      safetyPoint: null,
      verified: false,
      downloadedBytes: 0,
      dryRun: true,
    },
    lines: [
      texts('restore.dry-run-done', {
        files: counted(texts, 'files', files),
        bytes: sizeText(bytes, texts.language),
        target: visible(path),
      }),
      ...reported([], problems, renamed, texts),
    ],
  };
}

/** What a person reads after a restore. */
export function restoredLines(
  context: Context,
  { mandate, mode, acceptance }: Target,
  result: RestoreResult,
): string[] {
  const { texts } = context;
  const { damaged, problems, renamed, replacedKept, safetyPoint } = result;
  return [
    firstLine(context, result),
    ...reported(damaged, problems, renamed, texts),
    ...(mandate && (mode === 'new' || acceptance === 'existing')
      ? [texts('restore.registered', { name: visible(mandate.name) })]
      : []),
    ...(mandate && safetyPoint !== null
      ? [texts('restore.safety', { id: safetyPoint.slice(0, 8), name: visible(mandate.name) })]
      : []),
    ...(replacedKept === null ? [] : [texts('restore.kept', { path: visible(replacedKept) })]),
  ];
}

function reported(
  damaged: RestoreResult['damaged'],
  problems: RestoreResult['problems'],
  renamed: RestoreResult['renamed'],
  texts: Context['texts'],
): string[] {
  const lines = [
    ...[...damaged, ...problems].map(({ path, code }) => problemText(texts, path, code)),
    ...renamed.map(({ from, to }) => texts('restore.renamed', { from: visible(from), to: visible(to) })),
  ];
  const left = lines.length - LISTED;
  return [
    ...lines.slice(0, LISTED).map((line) => `    ${line}`),
    ...(left > 0 ? [texts('send.more', { count: left })] : []),
  ];
}

function firstLine({ texts }: Context, { files, bytes, target, durationMs, damaged, problems }: RestoreResult): string {
  const params = {
    files: counted(texts, 'files', files),
    bytes: sizeText(bytes, texts.language),
    target: visible(target),
    duration: durationText(durationMs, texts.language),
    missing: countText(damaged.length + problems.length),
  };
  return damaged.length > 0 ? `⚠ ${texts('restore.partial', params)}` : `✓ ${texts('restore.done', params)}`;
}
