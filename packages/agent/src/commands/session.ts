import { AgentError, EXIT_PARTIAL, toAgentError } from '../errors.ts';
import { getMandate, loadMandates, type Mandate } from '../mandate/mandates.ts';
import { whereText } from '../open-modules/open-modules.ts';
import type { MadePoint } from '../points/make.ts';
import type { Outcome } from '../render/output.ts';
import { brief, counted, durationText, sizeText, visible } from '../render/text.ts';
import { patiently } from '../schedule/wait.ts';
import { type ProgramEnd, runProgram, shellCode } from '../session/run-program.ts';
import { waitUntilClosed } from '../session/wait-closed.ts';
import { automaticPoint, madePointJson } from './automatic-point.ts';
import type { Context } from './context.ts';
import { problemLines } from './send-report.ts';

export interface SessionArgs {
  readonly name: string;
  /** Minutes to wait for modules that stay open, as typed. */
  readonly wait: string | undefined;
  /** What stands after `--`. */
  readonly command: readonly string[];
}

const MINUTE_MS = 60_000;
const DEFAULT_WAIT_MINUTES = 720;
const MOST_WAIT_MINUTES = 10_080;
const LOCKED: ReadonlySet<string> = new Set(['another-run']);

/**
 * Runs the accounting program, waits until every module of the mandate is closed, and makes a point when anything changed.
 * @returns the program's exit code as a shell gives it; after 0, 3 when some files lack
 * @throws AgentError `usage`, `not-found`; what keeps the point from being made goes before the program's exit code
 */
export async function session(context: Context, { name, wait, command }: SessionArgs): Promise<Outcome> {
  if (command.length === 0) throw new AgentError('usage', 'no program', { key: 'error.no-command' });
  const limitMs = waitOf(wait);
  const mandate = getMandate(loadMandates(context.home), name);
  const { output } = context;
  const ended = await runProgram({
    command,
    // with --json the standard output is one document, and not the program's
    stdout: output.options.json ? 'stderr' : 'inherit',
    onTerminal: process.stdin.isTTY,
    divertSignals: context.divertSignals ?? (() => () => undefined),
  });
  tellEnd(context, ended);
  await waitUntilClosed(mandate, {
    limitMs,
    signal: context.signal,
    onWait: (open) => tellWait(context, mandate, open.map(whereText), limitMs),
  });
  return report(context, mandate, ended, await pointAfterOthers(context, mandate));
}

function waitOf(text: string | undefined): number {
  const minutes = text === undefined ? DEFAULT_WAIT_MINUTES : /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (minutes <= MOST_WAIT_MINUTES) return minutes * MINUTE_MS;
  throw new AgentError('usage', 'no number of minutes', { key: 'error.wait-minutes' });
}

function tellEnd({ output, texts }: Context, { exitCode, signal }: ProgramEnd): void {
  if (signal !== null) output.say(texts('session.program-signal', { signal }));
  else if (exitCode !== 0) output.say(texts('session.program-code', { code: exitCode ?? 0 }));
}

function tellWait({ output, texts }: Context, mandate: Mandate, open: readonly string[], limitMs: number): void {
  const list = brief(open.join(' · '), 300);
  const time = durationText(limitMs, texts.language);
  output.say(texts('session.still-open', { name: visible(mandate.name), list, time }));
}

/** A scheduled run, or a restore, is waited for. */
function pointAfterOthers(context: Context, mandate: Mandate): Promise<MadePoint> {
  const { output, texts } = context;
  let told = false;
  return patiently(() => automaticPoint(context, mandate, 'session'), context.signal, {
    kinds: LOCKED,
    totalMs: DEFAULT_WAIT_MINUTES * MINUTE_MS,
    firstMs: 500,
    longestMs: 5000,
    waits: (error) => {
      if (!told) output.say(texts('session.waits-run', { pid: Number(toAgentError(error).details['pid'] ?? 0) }));
      told = true;
    },
  });
}

function report({ texts }: Context, mandate: Mandate, ended: ProgramEnd, made: MadePoint): Outcome {
  const name = visible(mandate.name);
  const [files, bytes] = [counted(texts, 'files', made.files), sizeText(made.bytes, texts.language)];
  const newBytes = sizeText(made.newBytes, texts.language);
  const line = made.unchanged
    ? texts('session.unchanged', { name })
    : texts('session.point', { name, files, bytes, newBytes });
  const own = made.problems.length > 0 ? EXIT_PARTIAL : 0;
  return {
    json: { mandate: mandate.name, program: ended, point: madePointJson(made) },
    lines: [`✓ ${line}`, ...problemLines(texts, made.problems)],
    exitCode: shellCode(ended) || own,
  };
}
