import type { Texts } from '../render/i18n.ts';
import { dateText } from '../render/text.ts';
import { dayOf, isoDay } from '../vault/plan-days.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';

const TEN_YEARS = 10;

/** A date that the journal writes as yyyymmdd: for scripts and for people. */
export function dateOfNumber(date: number): { readonly iso: string; readonly text: string } {
  const digits = String(date);
  const [year, month, day] = [digits.slice(0, 4), digits.slice(4, 6), digits.slice(6, 8)];
  return { iso: `${year}-${month}-${day}`, text: `${day}.${month}.${year}` };
}

/** The financial year that a hold is for; null without a hold. */
export function closedYear({ holdUntil }: Pick<SnapshotInfo, 'holdUntil'>): number | null {
  return holdUntil === 0 ? null : Math.floor(holdUntil / 10_000) - TEN_YEARS;
}

/** When a forgotten snapshot is deleted, and since when one is let go, as dates; null where it does not apply. */
export function lifeDates(vault: Vault, snapshot: SnapshotInfo): { purgeOn: string | null; freedOn: string | null } {
  const fate = vault.fate(snapshot);
  return {
    purgeOn: fate.state === 'forgotten' && fate.lockedUntil !== undefined ? isoDay(dayOf(fate.lockedUntil)) : null,
    freedOn: fate.state === 'freed' ? isoDay(fate.freedOn) : null,
  };
}

/** A snapshot as scripts see it. Dates are `yyyy-mm-dd`, times ms since 1970. */
export function snapshotJson(vault: Vault, snapshot: SnapshotInfo): Record<string, unknown> {
  const { id, seq, createdAt, receivedAt, comment, files, bytes, holdUntil, forgottenAt, incomplete } = snapshot;
  return {
    id,
    seq,
    mandate: snapshot.mandateName,
    createdAt,
    receivedAt,
    comment,
    files,
    bytes,
    incomplete,
    yearClosed: closedYear(snapshot),
    holdUntil: holdUntil === 0 ? null : dateOfNumber(holdUntil).iso,
    forgotten: forgottenAt !== undefined,
    ...lifeDates(vault, snapshot),
  };
}

/** What became of a snapshot, in a few words; empty for one that simply lives. */
export function fateTexts(texts: Texts, vault: Vault, snapshot: SnapshotInfo): string[] {
  const fate = vault.fate(snapshot);
  const year = closedYear(snapshot);
  const said: string[] = [];
  if (year !== null) said.push(texts('snapshots.year-closed', { year, date: dateOfNumber(snapshot.holdUntil).text }));
  if (fate.state === 'freed') said.push(texts('snapshots.freed', { date: dayText(fate.freedOn) }));
  if (fate.state === 'forgotten' && fate.lockedUntil !== undefined)
    said.push(texts('snapshots.forgotten-until', { date: dateText(fate.lockedUntil) }));
  if (fate.state === 'forgotten' && fate.lockedUntil === undefined) said.push(texts('snapshots.forgotten-stays'));
  return said;
}

/** A day number as `24.11.2026`. */
export function dayText(day: number): string {
  return isoDay(day).split('-').toReversed().join('.');
}
