import type { BackupResult } from '../backup/backup.ts';
import { AgentError, EXIT_PARTIAL, toAgentError } from '../errors.ts';
import { getMandate, loadMandates, type Mandate, nameKey } from '../mandate/mandates.ts';
import { requireClosed } from '../open-modules/open-modules.ts';
import { explain, type Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { visible } from '../render/text.ts';
import type { Account } from '../vault/remote.ts';
import type { Vault } from '../vault/vault.ts';
import { withAnchor } from './anchoring.ts';
import { standingOf } from './backup-standing.ts';
import { checkComment } from './comment.ts';
import type { Context } from './context.ts';
import { lockAfterWatch } from './home-lock.ts';
import { openSafe, rememberKnown, type Safe, warner } from './open.ts';
import { noteRetention } from './retention.ts';
import { type Healed, healedLines, healLost } from './send-heal.ts';
import { sentJson, sentLines } from './send-report.ts';
import { warnOfTwins } from './twins.ts';
import { closeYear, parseYear, type YearClosed } from './year-closed.ts';

export interface SendArgs {
  readonly names: readonly string[];
  readonly all: boolean;
  readonly comment: string | undefined;
  /** KB/s, as typed. */
  readonly limit?: string | undefined;
  /** The year in which a financial year ends, whose books this is. */
  readonly yearClosed?: string | undefined;
}

/** A mandate that was sent, or had nothing new. */
export interface Sent {
  readonly mandate: Mandate;
  readonly result: BackupResult;
  /** With `--year-closed`. */
  readonly closed?: YearClosed | undefined;
}

/** A mandate that could not be sent while others were. */
export interface Failure {
  readonly mandate: Mandate;
  readonly error: AgentError;
}

export interface SendOutcome {
  readonly sent: readonly Sent[];
  readonly failures: readonly Failure[];
  /** Undefined when the server lost nothing. */
  readonly healed?: Healed | undefined;
}

/**
 * Sends mandates, one after the other; `--all` goes on after one that failed.
 * @returns exit code 0; 3 when only files lack; else that of the first failed mandate
 */
export async function send(context: Context, args: SendArgs): Promise<Outcome> {
  const { texts } = context;
  checkComment(args.comment);
  const limit = await givenLimit(args.limit);
  const year = parseYear(context, args.yearClosed);
  using _lock = await lockAfterWatch(context);
  const mandates = chosen(context, args);
  if (mandates.length === 0) return { json: { snapshots: [], failures: [] }, lines: [texts('send.nothing')] };
  return sentOutcome(context, await sendMandates({ ...context, uploadLimit: limit }, mandates, args.comment, year));
}

async function givenLimit(text: string | undefined): Promise<Context['uploadLimit']> {
  if (text === undefined) return undefined;
  const { parseLimit } = await import('../schedule/limit.ts');
  const limit = parseLimit(text);
  return () => limit;
}

/**
 * Sends these mandates one after the other; the caller holds the lock of the home. Of several, one that fails does not
 * stop the others.
 * @throws AgentError of what stops them all: no connection, no subscription, a history that cannot be written
 */
export async function sendMandates(
  context: Context,
  mandates: readonly Mandate[],
  comment?: string,
  year?: number,
): Promise<SendOutcome> {
  const safe = await openSafe(context, 'write');
  try {
    await withAnchor(context, safe.vault);
    const account = await refuseWhenNotAllowed(safe);
    noteRetention(context, account);
    const healed = await healLost(context, safe, account);
    const outcome = { ...(await sendEach(context, safe, mandates, { comment, year })), healed };
    rememberKnown(context, safe.vault);
    return outcome;
  } finally {
    safe.close();
  }
}

function chosen({ home }: Context, { names, all }: SendArgs): Mandate[] {
  const mandates = loadMandates(home);
  if (all && names.length > 0) throw new AgentError('usage', 'names and --all', { key: 'error.names-and-all' });
  if (all) return mandates;
  if (names.length === 0) throw new AgentError('usage', 'no mandate given', { key: 'error.no-mandate-given' });
  return [...new Set(names.map((name) => getMandate(mandates, name)))];
}

/** The server decides; asked first, so that nothing is read and sealed for an answer that is known. */
async function refuseWhenNotAllowed({ remote, config }: Safe): Promise<Account> {
  const account = await remote.leanAccount();
  const { serverId, subscription } = account;
  // with nothing to append no receipt will tell, so this is where another server in its place is noticed
  if (serverId !== config.server.serverId)
    throw new AgentError('wrong-server', 'the server is not the one this computer was connected to');
  const { maySend, state, expiresOn } = subscription;
  if (maySend) return account;
  const details = { state, expiresOn };
  if (state === 'suspended') throw new AgentError('suspended', 'the subscription is suspended', { details });
  throw new AgentError('subscription-expired', `the subscription is ${state}`, {
    key: 'error.subscription-expired-on',
    params: { date: expiresOn.split('-').reverse().join('.') },
    details,
  });
}

async function sendEach(
  context: Context,
  safe: Safe,
  mandates: readonly Mandate[],
  marks: Marks,
): Promise<SendOutcome> {
  const { output, texts } = context;
  const sent: Sent[] = [];
  const failures: Failure[] = [];
  for (const mandate of mandates) {
    try {
      sent.push(await sendAndMark(context, safe, mandate, marks));
    } catch (error) {
      const typed = toAgentError(error);
      // what stops one mandate may spare the next; an interruption, or a history that cannot be written, spares none
      if (mandates.length === 1 || typed.kind === 'interrupted' || safe.vault.broken) throw error;
      // after all the patience of one mandate, a line that is down would cost each of the others as much
      const lineIsDown = typed.kind === 'unreachable';
      const stopped = lineIsDown ? mandates.slice(mandates.indexOf(mandate)) : [mandate];
      failures.push(...stopped.map((each) => ({ mandate: each, error: typed })));
      for (const { name } of stopped)
        output.say(texts('send.failed', { name: visible(name), message: explain(typed, texts).message }));
      if (lineIsDown) break;
    }
  }
  return { sent, failures };
}

/** What a snapshot is given beside its content. */
interface Marks {
  readonly comment: string | undefined;
  readonly year: number | undefined;
}

async function sendAndMark(context: Context, safe: Safe, mandate: Mandate, { comment, year }: Marks): Promise<Sent> {
  const result = await sendOne(context, safe, mandate, comment);
  if (year === undefined) return { mandate, result };
  return { mandate, result, closed: await closeYear(context, safe.vault, safe.vault.snapshot(result.id), year) };
}

async function sendOne(
  context: Context,
  safe: Safe,
  mandate: Mandate,
  comment: string | undefined,
): Promise<BackupResult> {
  const { output, texts, signal, version } = context;
  signal.throwIfAborted();
  refuseMixing(safe.vault, mandate);
  warnOfTwins(context, mandate);
  await requireClosed(mandate, warner(context));
  const progress = new Progress(output, texts, 'send', visible(mandate.name));
  const { backup } = await import('../backup/backup.ts');
  let done = false;
  try {
    const result = await backup({
      vault: safe.vault,
      mandate,
      deviceName: safe.config.deviceName,
      agentVersion: version,
      comment,
      signal,
      onProgress: (now) => progress.update(standingOf(now)),
    });
    done = !result.unchanged;
    return result;
  } finally {
    progress.finish(done);
  }
}

/** A mandate that is new here must not take the name of another one in the Safe: nobody could tell them apart later. */
function refuseMixing(vault: Vault, mandate: Mandate): void {
  const all = vault.snapshots();
  if (all.some(({ mandateId }) => mandateId === mandate.mandateId)) return;
  if (!all.some(({ mandateName }) => nameKey(mandateName) === nameKey(mandate.name))) return;
  throw new AgentError('usage', `the Safe has a mandate named ${mandate.name}`, {
    key: 'error.name-in-safe',
    hint: 'hint.name-in-safe-send',
    params: { name: mandate.name },
    details: { name: mandate.name },
  });
}

/** 0; 3 when only files lack; else the code of the first failed mandate. */
export function sentExitCode({ sent, failures }: SendOutcome): number {
  const partial = sent.some(({ result }) => result.problems.length > 0);
  return failures[0]?.error.exitCode ?? (partial ? EXIT_PARTIAL : 0);
}

/** What a send gives scripts and people. */
export function sentOutcome(context: Context, outcome: SendOutcome): Outcome {
  const { sent, failures, healed } = outcome;
  const { texts } = context;
  return {
    json: {
      ...(healed === undefined ? {} : { healed }),
      snapshots: sent.map(sentJson),
      failures: failures.map(({ mandate, error }) => ({
        mandate: mandate.name,
        error: { code: error.kind, ...explain(error, texts), details: error.details },
      })),
    },
    lines: [
      ...healedLines(context, healed),
      ...sent.flatMap((one) => sentLines(context, one)),
      ...failures.map(({ mandate, error }) =>
        texts('send.failed', { name: visible(mandate.name), message: explain(error, texts).message }),
      ),
    ],
    exitCode: sentExitCode(outcome),
  };
}
