import { counted, countText, durationText, sizeText, visible } from '../render/text.ts';
import type { RestoreResult } from '../restore/restore.ts';
import type { Context } from './context.ts';
import type { Target } from './restore-target.ts';
import { problemText } from './show.ts';

const LISTED = 20;

/** A restore as scripts see it. */
export function restoredJson({ mandate }: Target, result: RestoreResult): Record<string, unknown> {
  return { ...result, mandate: mandate?.name ?? null };
}

/** What a person reads after a restore. */
export function restoredLines(context: Context, { mandate, acceptance }: Target, result: RestoreResult): string[] {
  const { texts } = context;
  const { damaged, problems, renamed, replacedKept } = result;
  const reported = [
    ...[...damaged, ...problems].map(({ path, code }) => problemText(texts, path, code)),
    ...renamed.map(({ from, to }) => texts('restore.renamed', { from: visible(from), to: visible(to) })),
  ];
  const left = reported.length - LISTED;
  return [
    firstLine(context, result),
    ...reported.slice(0, LISTED).map((line) => `    ${line}`),
    ...(left > 0 ? [texts('send.more', { count: left })] : []),
    ...(mandate && acceptance !== 'current' ? [texts('restore.registered', { name: visible(mandate.name) })] : []),
    ...(replacedKept === null ? [] : [texts('restore.kept', { path: visible(replacedKept) })]),
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
