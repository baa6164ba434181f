import type { EntityManager } from 'typeorm';
import { type Subscriber, SubscriberEntity } from '../accounts/entities.ts';
import { findVaultOf, lastHold } from '../vaults/journal-store.ts';
import { type Day, dayInZurich } from './calendar.ts';
import { type Durations, type Subscription, subscriptionState } from './state.ts';

/** A subscriber's subscription at a moment, with what may be stored. */
export interface SubscriptionNow extends Subscription {
  /** The quota in force: the temporary one until its day is over. */
  readonly quotaBytes: number;
}

export async function findSubscriber(manager: EntityManager, number: string): Promise<Subscriber | null> {
  return await manager.findOneBy(SubscriberEntity, { number });
}

/** The subscription as it stands at `now` (ms, the database's time). */
export async function subscriptionOf(
  manager: EntityManager,
  subscriber: Subscriber,
  { now, durations }: { now: number; durations: Durations },
): Promise<SubscriptionNow> {
  const { expiresOn, suspended, noticeSentOn } = subscriber;
  // holds matter only once a notice was sent, and finding them costs a query on every request
  const holds = noticeSentOn === null ? null : await holdOf(manager, subscriber.number);
  const state = subscriptionState({ expiresOn, suspended, noticeSentOn, holds, now, durations });
  return { ...state, quotaBytes: quotaOf(subscriber, dayInZurich(now)) };
}

async function holdOf(manager: EntityManager, number: string): Promise<Day | null> {
  const vault = await findVaultOf(manager, number);
  const hold = vault === null ? 0 : await lastHold(manager, vault.vaultId);
  return hold === 0 ? null : String(hold).replace(/^(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3');
}

function quotaOf({ quotaBytes, temporaryQuotaBytes, quotaUntil }: Subscriber, today: Day): number {
  const temporary = temporaryQuotaBytes !== null && quotaUntil !== null && today <= quotaUntil;
  return temporary ? temporaryQuotaBytes : quotaBytes;
}
