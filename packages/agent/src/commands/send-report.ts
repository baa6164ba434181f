import type { BackupResult } from '../backup/backup.ts';
import { counted, countText, durationText, momentText, sizeText, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import type { Sent } from './send.ts';
import { problemText } from './show.ts';
import { dateOfNumber } from './snapshot-json.ts';

const LISTED = 20;

/** One sent mandate as scripts see it. */
export function sentJson({ mandate, result, closed }: Sent): Record<string, unknown> {
  const { id, seq, files, bytes, newBytes, sentBytes, unchangedFiles, problems, durationMs, unchanged } = result;
  const { entryHash, keyId, serverId, time } = result.receipt;
  return {
    mandate: mandate.name,
    id,
    seq,
    files,
    bytes,
    newBytes,
    sentBytes,
    unchangedFiles,
    problems,
    durationMs,
    unchanged,
    ...(closed && { yearClosed: closed.year, holdUntil: dateOfNumber(closed.holdUntil).iso }),
    receipt: { seq, time, entryHash, keyId, serverId, bytes: result.receipt.bytes },
  };
}

/** What a person reads after a mandate was sent. */
export function sentLines({ texts }: Context, { mandate, result, closed }: Sent): string[] {
  const { language } = texts;
  const name = visible(mandate.name);
  const held = closed
    ? [
        texts('send.year-held', {
          id: result.id.slice(0, 8),
          year: closed.year,
          date: dateOfNumber(closed.holdUntil).text,
        }),
      ]
    : [];
  if (result.unchanged)
    return [`✓ ${texts('send.unchanged', { name })}`, ...held, ...problemLines(texts, result.problems)];
  return [
    `✓ ${texts('send.done', { name, files: counted(texts, 'files', result.files), bytes: sizeText(result.bytes, language) })}`,
    texts('send.sent', {
      sent: sizeText(result.sentBytes, language),
      reused: sizeText(Math.max(0, result.bytes - result.newBytes), language),
      unchanged: countText(result.unchangedFiles),
      duration: durationText(result.durationMs, language),
    }),
    texts('send.receipt', { id: result.id.slice(0, 8), seq: result.seq, date: momentText(result.receipt.time) }),
    ...held,
    ...problemLines(texts, result.problems),
  ];
}

/** The files that could not be saved, the first of them named. */
export function problemLines(texts: Context['texts'], problems: BackupResult['problems']): string[] {
  if (problems.length === 0) return [];
  const left = problems.length - LISTED;
  return [
    texts('send.problems', { count: problems.length }),
    ...problems.slice(0, LISTED).map(({ path, code }) => `    ${problemText(texts, path, code)}`),
    ...(left > 0 ? [texts('send.more', { count: left })] : []),
  ];
}
