import type { State } from '../local/state.ts';
import type { Mandate } from '../mandate/mandates.ts';
import type { TextKey } from '../render/i18n.ts';
import { calendarText, dateText, visible } from '../render/text.ts';
import { stagingLeft } from '../restore/staging.ts';
import type { Account } from '../vault/remote.ts';
import type { Context } from './context.ts';
import { namesOf, unsettledTwins } from './twins.ts';

/** Something to act upon: `code` for scripts, `message` in the language of the run. */
export interface StatusWarning {
  readonly code: string;
  readonly message: string;
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** The first notice of the service goes out this long before the end; the agent says it from then on. */
const EXPIRY_NOTICE_DAYS = 60;
/** A mandate that was not sent for as long as the service itself takes for silence. */
const SILENCE_DAYS = 14;
/** Clocks that differ less disturb nothing. */
const CLOCK_TOLERANCE_MS = 10 * MINUTE_MS;

/** Warnings about the subscription and the clock, from what the server says (or said last). */
export function accountWarnings(context: Context, account: Account | undefined, state: State): StatusWarning[] {
  const subscription = account?.subscription ?? state.subscription;
  const warnings = subscription ? subscriptionWarnings(context, subscription) : [];
  const damaged = account?.damagedSnapshots ?? 0;
  if (damaged > 0)
    warnings.push({
      code: 'snapshots-damaged',
      message: context.texts('warning.snapshots-damaged', { count: damaged }),
    });
  const skew = account ? context.now() - account.serverTime : 0;
  if (Math.abs(skew) > CLOCK_TOLERANCE_MS) {
    const minutes = Math.round(Math.abs(skew) / MINUTE_MS);
    warnings.push({ code: 'clock', message: context.texts('warning.clock', { minutes }) });
  }
  return warnings;
}

const STATES: Readonly<Record<string, TextKey>> = {
  grace: 'warning.grace',
  'read-only': 'warning.read-only',
  closing: 'warning.closing',
  closed: 'warning.closed',
  archive: 'warning.archive',
  suspended: 'warning.suspended',
};

function subscriptionWarnings(
  { texts, now }: Context,
  { state, expiresOn }: { readonly state: string; readonly expiresOn: string },
): StatusWarning[] {
  const date = calendarText(expiresOn);
  const key = Object.hasOwn(STATES, state) ? STATES[state] : undefined;
  if (key) return [{ code: state, message: texts(key, { date }) }];
  const left = daysUntil(expiresOn, now());
  if (state !== 'active' || Number.isNaN(left) || left > EXPIRY_NOTICE_DAYS || left < 0) return [];
  const message =
    left === 0 ? texts('warning.expires-today', { date }) : texts('warning.expires-soon', { count: left, date });
  return [{ code: 'expires-soon', message }];
}

/** Whole days from today (in Switzerland) to a calendar date. */
function daysUntil(date: string, now: number): number {
  const [day, month, year] = dateText(now).split('.');
  return Math.round((Date.parse(`${date}T00:00:00Z`) - Date.parse(`${year}-${month}-${day}T00:00:00Z`)) / DAY_MS);
}

export interface LocalFacts {
  readonly context: Context;
  readonly mandates: readonly Mandate[];
  readonly state: State;
  readonly unanchored: boolean;
  /** The vault can be opened with a recovery kit; undefined when this computer never saw its header. */
  readonly hasKit: boolean | undefined;
  readonly present: (path: string) => boolean;
}

/** Warnings that this computer knows by itself. */
export function localWarnings(facts: LocalFacts): StatusWarning[] {
  const { context, mandates, state, unanchored, hasKit } = facts;
  const { texts } = context;
  const warnings = mandates.flatMap((mandate) => mandateWarnings(facts, mandate));
  if (unanchored) warnings.push({ code: 'unanchored', message: texts('warning.unanchored') });
  warnings.push(...diskWarnings(facts));
  if (hasKit === false) warnings.push({ code: 'no-kit', message: texts('warning.no-kit') });
  if (state.rebuiltAt !== undefined)
    warnings.push({
      code: 'state-rebuilt',
      message: texts('warning.state-rebuilt', { date: dateText(state.rebuiltAt) }),
    });
  return warnings;
}

/** What restores left on this computer that somebody should decide. */
export function diskWarnings({
  context,
  mandates,
  state,
  present,
}: Pick<LocalFacts, 'context' | 'mandates' | 'state' | 'present'>): StatusWarning[] {
  const { texts } = context;
  const kept = state.kept.filter(({ path }) => present(path));
  return [
    ...twinWarnings(context, mandates, state),
    ...(state.unfinished ?? []).flatMap(({ target }) => unfinishedWarning(context, target)),
    ...kept.map(({ mandate, path }) => ({
      code: 'replaced-kept',
      message: texts('warning.replaced-kept', { name: visible(mandate), path: visible(path) }),
    })),
  ];
}

function unfinishedWarning({ texts }: Context, target: string): StatusWarning[] {
  const staging = stagingLeft(target);
  if (staging === undefined) return [];
  const params = { path: visible(target), staging: visible(staging) };
  return [{ code: 'restore-unfinished', message: texts('warning.restore-unfinished', params) }];
}

function mandateWarnings({ context, state, present }: LocalFacts, mandate: Mandate): StatusWarning[] {
  const { texts, now } = context;
  const name = visible(mandate.name);
  const warnings: StatusWarning[] = [];
  const last = state.known?.find(({ mandateId }) => mandateId === mandate.mandateId)?.lastSnapshot;
  const days = last ? Math.floor((now() - last.receivedAt) / DAY_MS) : 0;
  if (!last) warnings.push({ code: 'never-sent', message: texts('warning.never-sent', { name }) });
  else if (days >= SILENCE_DAYS)
    warnings.push({ code: 'old-snapshot', message: texts('warning.old-snapshot', { name, count: days }) });
  if (!present(mandate.path))
    warnings.push({
      code: 'path-missing',
      message: texts('warning.path-missing', { name, path: visible(mandate.path) }),
    });
  return warnings;
}

/** Several mandates restored from one backup stay a warning until the user says which one lives on. */
function twinWarnings({ texts }: Context, mandates: readonly Mandate[], state: State): StatusWarning[] {
  return unsettledTwins(mandates, state).map((twins) => ({
    code: 'several-from-one',
    message: texts('warning.twins', { names: namesOf(twins.mandates) }),
  }));
}
