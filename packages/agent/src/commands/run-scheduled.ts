import { join } from 'node:path';
import { AgentError, toAgentError } from '../errors.ts';
import { prepareHome } from '../local/home.ts';
import { recallRoot } from '../local/keyring.ts';
import { type Lock, takeLock } from '../local/lock.ts';
import { loadMandates, type Mandate } from '../mandate/mandates.ts';
import { explain, type Outcome } from '../render/output.ts';
import { momentText } from '../render/text.ts';
import { type Due, due, nextSlot, retryAt } from '../schedule/due.ts';
import { writeReport } from '../schedule/reports.ts';
import { loadRuns, type Retry, saveRuns } from '../schedule/runs.ts';
import { limitAt, loadSchedule, type Schedule } from '../schedule/schedule.ts';
import { patiently } from '../schedule/wait.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { makeLocalPoints } from './local-points.ts';
import { type RunFacts, runJson, runLines } from './scheduled-report.ts';
import { unattendedSecret } from './secret-source.ts';
import { sendMandates, sentExitCode } from './send.ts';

export interface RunScheduledArgs {
  /** Also when nothing is due. */
  readonly now: boolean;
  /** Minutes to wait for the network, as typed. */
  readonly wait: string | undefined;
}

const MINUTE_MS = 60_000;
/** A computer that wakes needs a while until its network is there. */
const DEFAULT_WAIT_MINUTES = 10;
const MOST_WAIT_MINUTES = 24 * 60;
/** How long a manual run beside this one is waited for. */
const LOCK_WAIT_MS = 60 * MINUTE_MS;
const NETWORK: ReadonlySet<string> = new Set(['unreachable']);
const LOCKED: ReadonlySet<string> = new Set(['another-run']);
/** What the next run for the same moment may find healed. Anything else waits for the next moment, or for its owner. */
const HEALS: ReadonlySet<string> = new Set([
  'unreachable',
  'tls',
  'storage-full',
  'another-run',
  'module-open',
  'mandate-unstable',
  'interrupted',
  'unexpected',
]);
const MOST_ATTEMPTS = 12;

/**
 * What the system's timer starts: sends what is due, waits for the network and for a run beside it, and leaves one report
 * for all mandates. What failed and may heal is tried again by later calls.
 * @returns exit code as `send --all`; 0 when nothing is due
 * @throws AgentError `another-run` while another scheduled run works, `usage` when no key is remembered
 */
export async function runScheduled(context: Context, args: RunScheduledArgs): Promise<Outcome> {
  const { home, texts, now } = context;
  const wait = waitOf(args.wait);
  const schedule = loadSchedule(home);
  if (!schedule) return { json: { due: false, nextRun: null }, lines: [texts('schedule.none')] };
  prepareHome(home);
  using _one = takeLock(join(home.dir, 'scheduled.lock'));
  const work = due(schedule, loadRuns(home), now()) ?? (args.now ? atOnce(schedule, now()) : undefined);
  const nextRun = nextSlot(schedule, now()) ?? null;
  if (!work) return { json: { due: false, nextRun }, lines: nothingDue(context, nextRun) };
  return await runDue(context, schedule, work, wait);
}

function waitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_WAIT_MINUTES * MINUTE_MS;
  const minutes = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (minutes <= MOST_WAIT_MINUTES) return minutes * MINUTE_MS;
  throw new AgentError('usage', 'no wait', {
    key: 'error.schedule-wait',
    params: { wait: text, most: MOST_WAIT_MINUTES },
  });
}

function atOnce(schedule: Schedule, now: number): Due {
  return { slot: now, mandates: schedule.mandates, attempt: 1 };
}

function nothingDue({ texts }: Context, nextRun: number | null): string[] {
  if (nextRun === null) return [texts('schedule.nothing-due')];
  return [texts('schedule.nothing-due'), texts('schedule.next', { dates: momentText(nextRun) })];
}

async function runDue(context: Context, schedule: Schedule, work: Due, waitMs: number): Promise<Outcome> {
  const { home, now } = context;
  const startedAt = now();
  // noted before the work: a run that is killed is taken up again after its back-off, not at every call of the timer
  noteBegun(context, work);
  const base = { slot: work.slot, attempt: work.attempt, startedAt };
  const facts = await attempt({ ...context, uploadLimit: () => limitAt(schedule, now()) }, work, waitMs).then(
    (done): RunFacts => ({
      ...base,
      ...done,
      finishedAt: now(),
      exitCode: done.error?.exitCode ?? sentExitCode(done.outcome),
    }),
    (error: unknown): RunFacts => {
      const typed = toAgentError(error);
      return { ...base, ...NOTHING, error: typed, finishedAt: now(), exitCode: typed.exitCode };
    },
  );
  const json = runJson(context, facts);
  const lines = runLines(context, facts);
  const report = writeReport(home, 'run', startedAt, json, lines);
  const { finishedAt, exitCode } = facts;
  saveRuns(home, {
    slot: work.slot,
    last: { slot: work.slot, startedAt, finishedAt, exitCode, report: report.name },
    retry: retryOf(context, work, facts),
  });
  if (facts.error) throw facts.error;
  const nextRun = nextSlot(schedule, now()) ?? null;
  return { json: { due: true, ...json, report: { json: report.json, text: report.text }, nextRun }, lines, exitCode };
}

function noteBegun({ home, now }: Context, work: Due): void {
  const { last } = loadRuns(home);
  saveRuns(home, { slot: work.slot, last, retry: laterRetry(work, now(), work.mandates) });
}

function laterRetry({ slot, attempt }: Due, now: number, mandates: readonly string[] | null): Retry | undefined {
  if (attempt >= MOST_ATTEMPTS) return undefined;
  return { slot, attempts: attempt, notedAt: now, notBefore: retryAt(attempt, now), mandates };
}

/** What later calls of the timer should try again: everything, or the mandates that failed. */
function retryOf({ now }: Context, work: Due, { outcome, error }: RunFacts): Retry | undefined {
  if (error) return heals(error) ? laterRetry(work, now(), work.mandates) : undefined;
  const failed = outcome.failures.filter((failure) => heals(failure.error));
  if (failed.length === 0) return undefined;
  return laterRetry(
    work,
    now(),
    failed.map(({ mandate }) => mandate.mandateId),
  );
}

function heals({ kind, key }: AgentError): boolean {
  return HEALS.has(kind) || key === 'error.schedule-no-root';
}

type Attempt = Pick<RunFacts, 'outcome' | 'gone' | 'points' | 'error'>;
const NOTHING: Attempt = { outcome: { sent: [], failures: [] }, gone: [], points: [] };

async function attempt(context: Context, work: Due, totalMs: number): Promise<Attempt> {
  await requireKey(context);
  try {
    return await patiently(() => sendOnce(context, work), context.signal, {
      ...{ kinds: NETWORK, totalMs, firstMs: 5000, longestMs: 2 * MINUTE_MS },
      waits: (error) => context.output.say(explain(error, context.texts).message),
    });
  } catch (error) {
    const typed = toAgentError(error);
    if (!NETWORK.has(typed.kind)) throw typed;
    using _lock = await waitForLock(context);
    const { mandates, gone } = chosen(context, work);
    return { ...NOTHING, gone, error: typed, points: await makeLocalPoints(context, mandates) };
  }
}

/** Holds the lock of the home only while it sends: whoever works here by hand need not wait for our network. */
async function sendOnce(context: Context, work: Due): Promise<Attempt> {
  using _lock = await waitForLock(context);
  const { mandates, gone } = chosen(context, work);
  if (mandates.length === 0) return { ...NOTHING, gone };
  return { ...NOTHING, gone, outcome: await sendMandates(context, mandates) };
}

/** Nobody is there to type it. @throws AgentError `usage` */
async function requireKey(context: Context): Promise<void> {
  if (unattendedSecret(context) !== undefined || (await recallRoot(context.home)) !== undefined) return;
  throw new AgentError('usage', 'no key is remembered here', {
    key: 'error.schedule-no-root',
    hint: 'hint.schedule-no-root',
  });
}

/** A manual run, or a restore, is waited for: it has its owner before it. */
function waitForLock(context: Context): Promise<Lock> {
  let told = false;
  return patiently(() => lockHome(context), context.signal, {
    kinds: LOCKED,
    totalMs: LOCK_WAIT_MS,
    firstMs: 500,
    longestMs: 5000,
    waits: (error) => {
      if (!told) context.output.say(explain(error, context.texts).message);
      told = true;
    },
  });
}

/** Those of the scheduled mandates that are on this computer now, and the ids of those that no longer are. */
function chosen({ home }: Context, { mandates: ids }: Due): { mandates: Mandate[]; gone: string[] } {
  const here = loadMandates(home);
  if (ids === null) return { mandates: here, gone: [] };
  const known = new Set(here.map(({ mandateId }) => mandateId));
  return {
    mandates: here.filter(({ mandateId }) => ids.includes(mandateId)),
    gone: ids.filter((id) => !known.has(id)),
  };
}
