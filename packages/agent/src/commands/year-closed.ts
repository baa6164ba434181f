import { asHash, dateNumber, holdUntilFor, MAX_HOLD_YEARS, zurichDay } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import { closedYear, dateOfNumber } from './snapshot-json.ts';

/** A snapshot's hold as `send` reports it. */
export interface YearClosed {
  readonly year: number;
  /** yyyymmdd */
  readonly holdUntil: number;
  /** The snapshot was held at least as long before: nothing was appended. */
  readonly already: boolean;
  /** Of the entry that holds it; undefined when nothing was appended. */
  readonly seq: number | undefined;
}

/**
 * The financial year typed after `--year-closed`: the calendar year in which it ends.
 * @throws AgentError `usage` for what is no year, whose ten years are over, or that lies too far ahead
 */
export function parseYear({ now }: Context, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const year = /^\d{4}$/.test(text) ? Number(text) : Number.NaN;
  const today = dateNumber(zurichDay(now()));
  const holdUntil = holdUntilFor(year);
  if (holdUntil >= today && holdUntil <= today + MAX_HOLD_YEARS * 10_000) return year;
  const thisYear = Math.floor(today / 10_000);
  throw new AgentError('usage', 'the closed year is not possible', {
    key: 'error.year-closed',
    params: { year: text, from: thisYear - 10, to: thisYear + 1 },
  });
}

/**
 * Marks a snapshot as the books of a closed financial year: it is held until 31 December ten years after, and can
 * neither be forgotten nor let go before. A hold is only ever extended.
 */
export async function closeYear(
  { texts, output }: Context,
  vault: Vault,
  snapshot: SnapshotInfo,
  year: number,
): Promise<YearClosed> {
  const holdUntil = holdUntilFor(year);
  const { id, mandateRef } = snapshot;
  if (snapshot.holdUntil >= holdUntil) {
    const held = closedYear(snapshot) ?? year;
    if (snapshot.holdUntil > holdUntil)
      output.warn(
        'held-longer',
        texts('warning.held-longer', { id: id.slice(0, 8), date: dateOfNumber(snapshot.holdUntil).text, year: held }),
      );
    return { year: held, holdUntil: snapshot.holdUntil, already: true, seq: undefined };
  }
  const { entry } = await vault.append('year-closed', { mandateRef, subject: asHash(id), holdUntil });
  return { year, holdUntil, already: false, seq: entry.seq };
}
