/** Why a point was made. */
export type PointReason = 'session' | 'watch' | 'manual' | 'restore' | 'schedule';

const REASONS: ReadonlySet<string> = new Set<PointReason>(['session', 'watch', 'manual', 'restore', 'schedule']);

/**
 * A point's record and summary have one text, the comment: its first line is the reason, what follows is what the user
 * wrote. The reason so needs no field that the vault format does not have, and stands in the part that is never cut.
 */
export function joinReason(reason: PointReason, comment = ''): string {
  return comment === '' ? reason : `${reason}\n${comment}`;
}

/** The two parts again. A first line that is no reason belongs to the comment, of a point that somebody asked for. */
export function splitReason(text: string): { reason: PointReason; comment: string } {
  const [, first = '', rest = ''] = /^([^\n]*)\n?([\s\S]*)$/.exec(text) ?? [];
  return REASONS.has(first) ? { reason: first as PointReason, comment: rest } : { reason: 'manual', comment: text };
}
