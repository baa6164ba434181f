import type { BackupResult } from '../backup/backup.ts';
import { AgentError, EXIT_PARTIAL, toAgentError } from '../errors.ts';
import { getMandate, loadMandates, type Mandate, nameKey } from '../mandate/mandates.ts';
import { explain, type Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { visible } from '../render/text.ts';
import type { Vault } from '../vault/vault.ts';
import { withAnchor } from './anchoring.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { openSafe, rememberKnown, type Safe } from './open.ts';
import { sentJson, sentLines } from './send-report.ts';

export interface SendArgs {
  readonly names: readonly string[];
  readonly all: boolean;
  readonly comment: string | undefined;
}

interface Sent {
  readonly mandate: Mandate;
  readonly result: BackupResult;
}

interface Failure {
  readonly mandate: Mandate;
  readonly error: AgentError;
}

const MAX_COMMENT = 2000;

/**
 * Sends mandates, one after the other; `--all` goes on after one that failed.
 * @returns exit code 0; 3 when only files lack; else that of the first failed mandate
 */
export async function send(context: Context, args: SendArgs): Promise<Outcome> {
  const { texts } = context;
  checkComment(args.comment);
  using _lock = await lockHome(context);
  const mandates = chosen(context, args);
  if (mandates.length === 0) return { json: { snapshots: [], failures: [] }, lines: [texts('send.nothing')] };
  const safe = await openSafe(context, 'write');
  try {
    await withAnchor(context, safe.vault);
    await refuseWhenNotAllowed(safe);
    const outcome = await sendEach(context, safe, mandates, args);
    rememberKnown(context, safe.vault);
    return report(context, outcome.sent, outcome.failures);
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

function checkComment(comment: string | undefined): void {
  if ([...(comment ?? '')].length <= MAX_COMMENT) return;
  throw new AgentError('usage', 'the comment is too long', { key: 'error.comment-long', params: { max: MAX_COMMENT } });
}

/** The server decides; asked first, so that nothing is read and sealed for an answer that is known. */
async function refuseWhenNotAllowed({ remote, config }: Safe): Promise<void> {
  const { serverId, subscription } = await remote.leanAccount();
  // with nothing to append no receipt will tell, so this is where another server in its place is noticed
  if (serverId !== config.server.serverId)
    throw new AgentError('wrong-server', 'the server is not the one this computer was connected to');
  const { maySend, state, expiresOn } = subscription;
  if (maySend) return;
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
  args: SendArgs,
): Promise<{ sent: Sent[]; failures: Failure[] }> {
  const sent: Sent[] = [];
  const failures: Failure[] = [];
  for (const mandate of mandates) {
    try {
      sent.push({ mandate, result: await sendOne(context, safe, mandate, args.comment) });
    } catch (error) {
      const typed = toAgentError(error);
      // what stops one mandate may spare the next; an interruption, or a history that cannot be written, spares none
      if (mandates.length === 1 || typed.kind === 'interrupted' || safe.vault.broken) throw error;
      failures.push({ mandate, error: typed });
      context.output.say(
        context.texts('send.failed', { name: visible(mandate.name), message: explain(typed, context.texts).message }),
      );
    }
  }
  return { sent, failures };
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
      onProgress: ({ phase, bytesDone, bytesTotal, filesDone, filesTotal, sentBytes, reusedBytes }) =>
        progress.update({
          scanning: phase === 'scan',
          bytes: bytesDone,
          totalBytes: bytesTotal,
          files: phase === 'scan' ? filesTotal : filesDone,
          sent: sentBytes,
          reused: reusedBytes,
        }),
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

function report(context: Context, sent: readonly Sent[], failures: readonly Failure[]): Outcome {
  const partial = sent.some(({ result }) => result.problems.length > 0);
  const exitCode = failures[0]?.error.exitCode ?? (partial ? EXIT_PARTIAL : 0);
  const { texts } = context;
  return {
    json: {
      snapshots: sent.map(({ mandate, result }) => sentJson(mandate, result)),
      failures: failures.map(({ mandate, error }) => ({
        mandate: mandate.name,
        error: { code: error.kind, ...explain(error, texts), details: error.details },
      })),
    },
    lines: [
      ...sent.flatMap(({ mandate, result }) => sentLines(context, mandate, result)),
      ...failures.map(({ mandate, error }) =>
        texts('send.failed', { name: visible(mandate.name), message: explain(error, texts).message }),
      ),
    ],
    exitCode,
  };
}
