import { Gauge } from 'prom-client';
import type { EntityManager } from 'typeorm';
import { SubscriberEntity } from '../accounts/entities.ts';
import type { Deps } from '../deps.ts';
import { dayInZurich } from '../subscriptions/calendar.ts';
import { type State, subscriptionState } from '../subscriptions/state.ts';
import { subscriptionOf } from '../subscriptions/subscribers.ts';
import { MandateEntity, VaultEntity } from '../vaults/entities.ts';
import type { Metrics } from './metrics.ts';

type SampleDeps = Pick<Deps, 'db' | 'clock' | 'config' | 'log'>;

/** The sample is a scan of the table: at most so often, however many scrape. */
const PAUSE_MS = 5 * 60_000;
const SILENT_MS = 14 * 86_400_000;
const STATES: readonly State[] = ['active', 'grace', 'suspended', 'read-only', 'closing', 'archive', 'closed'];

/** What the database says about the whole installation. */
export interface Sample {
  readonly subscribers: Readonly<Record<State, number>>;
  readonly storedBytes: number;
  /** ms; null without any mandate that should give signs of life. */
  readonly oldestSilence: number | null;
  readonly silentMandates: number;
}

/** Adds the gauges that are sampled from the database when somebody scrapes. */
export function watchInstallation(metrics: Metrics, deps: SampleDeps): void {
  const sample = sampler(deps);
  const registers = [metrics.registry];
  new Gauge({
    name: 'safe_subscribers',
    help: 'Subscribers by state, sampled every five minutes at most',
    labelNames: ['state'] as const,
    registers,
    async collect() {
      const { subscribers } = (await sample()) ?? {};
      for (const state of subscribers ? STATES : []) this.set({ state }, subscribers?.[state] ?? 0);
    },
  });
  const one = (name: string, help: string, value: (taken: Sample) => number) =>
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        const taken = await sample();
        if (taken !== undefined) this.set(value(taken));
      },
    });
  one('safe_stored_bytes', 'Bytes of packs that count against quotas', (taken) => taken.storedBytes);
  const silence = 'Longest time without a sign of life of a mandate whose subscription allows sending; 0 without any';
  one('safe_mandate_silence_max_seconds', silence, (taken) => (taken.oldestSilence ?? 0) / 1000);
  one('safe_mandates_silent', 'Such mandates that were silent for 14 days', (taken) => taken.silentMandates);
}

/** One sample for all gauges and all scrapes of a while; a database that does not answer leaves the last values. */
function sampler(deps: SampleDeps): () => Promise<Sample | undefined> {
  let last: { at: number; taken: Promise<Sample | undefined> } | undefined;
  return () => {
    const now = performance.now();
    if (last !== undefined && now - last.at < PAUSE_MS) return last.taken;
    const before = last?.taken;
    const taken = takeSample(deps).catch((err: unknown) => {
      deps.log.warn({ err }, 'no sample for the metrics');
      return before;
    });
    last = { at: now, taken };
    return taken;
  };
}

/** Reads the whole installation's figures: one scan each of subscribers, vaults and mandates. */
export async function takeSample({ db, clock, config }: SampleDeps): Promise<Sample> {
  const now = clock();
  return await db.read(async (manager) => ({
    subscribers: await byState(manager, { now, durations: config.durations }),
    storedBytes: await storedBytes(manager),
    ...(await silence(manager, now)),
  }));
}

type Moment = Parameters<typeof subscriptionOf>[2];

async function byState(manager: EntityManager, moment: Moment): Promise<Record<State, number>> {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>;
  const groups = await manager
    .createQueryBuilder(SubscriberEntity, 's')
    .select('s.expiresOn', 'day')
    .addSelect('s.suspended', 'suspended')
    .addSelect('COUNT(*)', 'count')
    .where('s.noticeSentOn IS NULL')
    .groupBy('s.expiresOn')
    .addGroupBy('s.suspended')
    .getRawMany<{ day: string; suspended: boolean | number; count: string | number }>();
  for (const { day, suspended, count } of groups) {
    const facts = { expiresOn: day, suspended: Boolean(suspended), holds: null, noticeSentOn: null, ...moment };
    counts[subscriptionState(facts).state] += Number(count);
  }
  // few were ever sent a notice, and what becomes of them depends on their holds
  const noticed = await manager.createQueryBuilder(SubscriberEntity, 's').where('s.noticeSentOn IS NOT NULL').getMany();
  for (const subscriber of noticed) counts[(await subscriptionOf(manager, subscriber, moment)).state] += 1;
  return counts;
}

async function storedBytes(manager: EntityManager): Promise<number> {
  const row = await manager
    .createQueryBuilder(VaultEntity, 'v')
    .select('SUM(v.usedBytes)', 'bytes')
    .getRawOne<{ bytes: string | number | null }>();
  return Number(row?.bytes ?? 0);
}

async function silence(manager: EntityManager, now: number): Promise<Pick<Sample, 'oldestSilence' | 'silentMandates'>> {
  const sign = 'CASE WHEN m.lastSeenAt > m.lastSnapshotAt THEN m.lastSeenAt ELSE m.lastSnapshotAt END';
  const row = await manager
    .createQueryBuilder(MandateEntity, 'm')
    .innerJoin('Vault', 'v', 'v.vaultId = m.vaultId')
    .innerJoin('Subscriber', 's', 's.number = v.number')
    .select(`MIN(${sign})`, 'first')
    .addSelect(`SUM(CASE WHEN (${sign}) < :limit THEN 1 ELSE 0 END)`, 'silent')
    .where('s.suspended = :no AND s.expiresOn >= :today')
    .setParameters({ limit: now - SILENT_MS, no: false, today: dayInZurich(now) })
    .getRawOne<{ first: string | number | null; silent: string | number | null }>();
  const first = row?.first ?? null;
  return {
    oldestSilence: first === null ? null : Math.max(0, now - Number(first)),
    silentMandates: Number(row?.silent ?? 0),
  };
}
