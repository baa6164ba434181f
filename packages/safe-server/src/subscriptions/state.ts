import { addDays, addMonths, type Day, dayInZurich } from './calendar.ts';

/** How long each stage after the expiry lasts. */
export interface Durations {
  readonly graceDays: number;
  readonly readOnlyMonths: number;
  /** From the deletion notice to the deletion. */
  readonly noticeDays: number;
}

/** What a subscription's state follows from, and nothing else. */
export interface SubscriptionFacts {
  /** The last day, inclusive, in Switzerland. */
  readonly expiresOn: Day;
  readonly suspended: boolean;
  /** The last day on which a year-closed hold binds the vault; null without any. */
  readonly holds: Day | null;
  /** The day on which the deletion notice was accepted by the mail server or confirmed; null without any. */
  readonly noticeSentOn: Day | null;
  /** The database's time, ms since 1970. */
  readonly now: number;
  readonly durations: Durations;
}

export type State = 'active' | 'grace' | 'suspended' | 'read-only' | 'closing' | 'archive' | 'closed';

export interface Subscription {
  readonly state: State;
  readonly expiresOn: Day;
  /** The last day on which sending still works although the subscription has expired. */
  readonly graceUntil: Day;
  /** The first day after this one may see a deletion notice take effect. */
  readonly readOnlyUntil: Day;
  readonly maySend: boolean;
  readonly mayRestore: boolean;
}

/**
 * The state of a subscription (domain rules). Dates move it forward, only the server's clock counts; nothing reaches
 * `closed` without a notice, a hold keeps it in `archive`, and restoring is never gated on payment before `closed`.
 */
export function subscriptionState(facts: SubscriptionFacts): Subscription {
  const { expiresOn, durations } = facts;
  const graceUntil = addDays(expiresOn, durations.graceDays);
  const readOnlyUntil = addMonths(graceUntil, durations.readOnlyMonths);
  const state = stage(facts, graceUntil, readOnlyUntil);
  const maySend = state === 'active' || state === 'grace';
  return { state, expiresOn, graceUntil, readOnlyUntil, maySend, mayRestore: state !== 'closed' };
}

function stage(facts: SubscriptionFacts, graceUntil: Day, readOnlyUntil: Day): State {
  const today = dayInZurich(facts.now);
  if (today <= graceUntil) {
    if (facts.suspended) return 'suspended';
    return today <= facts.expiresOn ? 'active' : 'grace';
  }
  const notice = facts.noticeSentOn;
  // a notice from before the expiry belongs to an earlier subscription, which was extended since
  if (today <= readOnlyUntil || notice === null || notice <= facts.expiresOn) return 'read-only';
  if (today <= addDays(notice, facts.durations.noticeDays)) return 'closing';
  return facts.holds !== null && today <= facts.holds ? 'archive' : 'closed';
}
