import { type EntityManager, IsNull } from 'typeorm';
import { issueCode } from '../accounts/codes.ts';
import { operatorCodeMinutes } from '../accounts/elevation.ts';
import {
  type CodePurpose,
  DeviceEntity,
  type Language,
  type Subscriber,
  SubscriberEntity,
} from '../accounts/entities.ts';
import { mirrorChanges } from '../accounts/mirror.ts';
import { lockName } from '../db/locks.ts';
import type { Deps } from '../deps.ts';
import { OperatorError } from '../errors.ts';
import { findVaultOf } from '../vaults/journal-store.ts';
import type { Day } from './calendar.ts';
import { signsOfLife } from './silence.ts';
import { findSubscriber, type SubscriptionNow, subscriptionOf } from './subscribers.ts';

/** Room for a subscriber of whom nothing else was said. */
export const DEFAULT_QUOTA = 50e9;
const FIRST_NUMBER = 100_001;

/** What an operator may change about a subscriber. */
export interface SubscriberChange {
  readonly name?: string;
  readonly email?: string;
  readonly language?: Language;
  readonly quotaBytes?: number;
  readonly temporaryQuotaBytes?: number | null;
  readonly quotaUntil?: Day | null;
  readonly expiresOn?: Day;
  readonly suspended?: boolean;
}

/** A subscriber as operators see it. */
export interface SubscriberView {
  readonly subscriber: Subscriber;
  readonly subscription: SubscriptionNow;
  readonly usedBytes: number;
  readonly devices: number;
  /** When the newest snapshot of any mandate came; null without one. */
  readonly lastSnapshotAt: number | null;
  /** Since when the most silent mandate has given no sign of life; since the subscriber exists where there is none. */
  readonly silentSince: number;
}

/** Adds a subscriber with a first code. `operator` is who is noted. @throws OperatorError `subscriber.exists` */
export async function addSubscriber(
  deps: Deps,
  operator: string,
  facts: {
    number: string | undefined;
    name: string;
    email: string;
    language: Language;
    expiresOn: Day;
    quotaBytes: number;
  },
): Promise<{ subscriber: Subscriber; code: string; codeExpiresAt: number }> {
  const added = await deps.db.write(async (manager) => {
    const number = facts.number ?? (await nextNumber(manager));
    if ((await findSubscriber(manager, number)) !== null) throw new OperatorError('subscriber.exists', { number }, 1);
    const subscriber: Subscriber = {
      ...facts,
      number,
      temporaryQuotaBytes: null,
      quotaUntil: null,
      suspended: false,
      noticeSentOn: null,
      createdAt: deps.clock(),
      version: 1,
      mirrored: 0,
    };
    await manager.insert(SubscriberEntity, subscriber);
    const { expiresOn, quotaBytes } = facts;
    await note(deps, manager, { operator, number, operation: 'subscriber-add', facts: { expiresOn, quotaBytes } });
    const { code, expiresAt } = await issueCode(manager, number, codeTerms(deps, 'enrol'));
    return { subscriber, code, codeExpiresAt: expiresAt };
  });
  await mirrorChanges(deps);
  return added;
}

async function nextNumber(manager: EntityManager): Promise<string> {
  await lockName(manager, 'next number'); // of two operators, one waits for the other's number
  const row = await manager
    .createQueryBuilder(SubscriberEntity, 's')
    .select('MAX(CAST(s.number AS bigint))', 'highest')
    .getRawOne<{ highest: number | null }>();
  return String(Math.max(FIRST_NUMBER, Number(row?.highest ?? 0) + 1));
}

function codeTerms({ random, clock, config }: Deps, purpose: CodePurpose) {
  return { random, now: clock(), minutes: operatorCodeMinutes(config.codeDays), purpose };
}

/** Changes a subscriber. A new date takes back a deletion notice: it belonged to the old one. @throws OperatorError `subscriber.none` */
export async function changeSubscriber(
  deps: Deps,
  operator: string,
  { number, operation, change }: { number: string; operation: string; change: SubscriberChange },
): Promise<void> {
  await deps.db.write(async (manager) => {
    await requireSubscriber(manager, number);
    const notice = change.expiresOn === undefined ? {} : { noticeSentOn: null };
    await manager.update(SubscriberEntity, { number }, { ...change, ...notice, version: () => 'version + 1' });
    await note(deps, manager, { operator, number, operation, facts: { ...change } });
  });
  await mirrorChanges(deps);
}

/** A new single-use code for a subscriber. @throws OperatorError `subscriber.none` */
export async function newCode(
  deps: Deps,
  operator: string,
  number: string,
  purpose: CodePurpose = 'enrol',
): Promise<{ code: string; expiresAt: number }> {
  return await deps.db.write(async (manager) => {
    await requireSubscriber(manager, number);
    const issued = await issueCode(manager, number, codeTerms(deps, purpose));
    await note(deps, manager, {
      operator,
      number,
      operation: 'subscriber-code',
      facts: { expiresAt: issued.expiresAt, purpose },
    });
    return issued;
  });
}

/** One subscriber as operators see it. @throws OperatorError `subscriber.none` */
export async function viewSubscriber(deps: Deps, number: string): Promise<SubscriberView> {
  return await deps.db.read(async (manager) => await view(deps, manager, await requireSubscriber(manager, number)));
}

/** All subscribers, by number. */
export async function viewSubscribers(deps: Deps): Promise<SubscriberView[]> {
  return await deps.db.read(async (manager) => {
    const rows = await manager.find(SubscriberEntity);
    const views: SubscriberView[] = [];
    for (const row of rows) views.push(await view(deps, manager, row));
    return views.sort((a, b) => Number(a.subscriber.number) - Number(b.subscriber.number));
  });
}

async function view(deps: Deps, manager: EntityManager, subscriber: Subscriber): Promise<SubscriberView> {
  const { number, createdAt } = subscriber;
  const terms = { now: deps.clock(), durations: deps.config.durations };
  const vault = await findVaultOf(manager, number);
  const { lastSnapshotAt, silentSince } = await signsOfLife(manager, vault?.vaultId);
  return {
    subscriber,
    subscription: await subscriptionOf(manager, subscriber, terms),
    usedBytes: vault?.usedBytes ?? 0,
    devices: await manager.countBy(DeviceEntity, { number, revokedAt: IsNull() }),
    lastSnapshotAt,
    silentSince: silentSince ?? createdAt,
  };
}

async function requireSubscriber(manager: EntityManager, number: string): Promise<Subscriber> {
  const subscriber = await findSubscriber(manager, number);
  if (subscriber === null) throw new OperatorError('subscriber.none', { number }, 14);
  return subscriber;
}

async function note(
  { audit }: Deps,
  manager: EntityManager,
  { operator, ...event }: { operator: string; number: string; operation: string; facts: Record<string, unknown> },
): Promise<void> {
  await audit.record(manager, { ...event, actor: `operator:${operator}` });
}
