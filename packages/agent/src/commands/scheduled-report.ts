import type { AgentError } from '../errors.ts';
import { findConfig } from '../local/config.ts';
import { explain } from '../render/output.ts';
import { counted, durationText, momentText, sizeText, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import type { LocalPoint } from './local-points.ts';
import type { SendOutcome } from './send.ts';
import { sentJson, sentLines } from './send-report.ts';

/** What one scheduled run did. */
export interface RunFacts {
  /** The moment of the schedule that it was for. */
  readonly slot: number;
  readonly attempt: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly outcome: SendOutcome;
  /** Ids of scheduled mandates that are no longer on this computer. */
  readonly gone: readonly string[];
  /** Made on this computer because the server could not be reached. */
  readonly points: readonly LocalPoint[];
  /** What stopped them all. */
  readonly error?: AgentError;
}

/** The report as a document: the fields of `send --all`, and when. */
export function runJson({ home, texts, version }: Context, facts: RunFacts): Record<string, unknown> {
  const { slot, attempt, startedAt, finishedAt, exitCode, outcome, gone, points, error } = facts;
  const config = findConfig(home);
  return {
    ...{ slot, attempt, startedAt, finishedAt, exitCode, gone },
    subscriber: config?.number ?? null,
    device: config?.deviceName ?? null,
    agentVersion: version,
    snapshots: outcome.sent.map(sentJson),
    failures: outcome.failures.map(({ mandate, error: why }) => ({
      mandate: mandate.name,
      error: errorJson(why, texts),
    })),
    points: points.map(({ error: why, ...point }) => ({ ...point, ...(why && { error: errorJson(why, texts) }) })),
    error: error ? errorJson(error, texts) : null,
  };
}

function errorJson(error: AgentError, texts: Context['texts']): Record<string, unknown> {
  const { message, hint } = explain(error, texts);
  return { code: error.kind, message, hint: hint ?? null, details: error.details };
}

/** The report for people: what went wrong first, the summary last. */
export function runLines(context: Context, facts: RunFacts): string[] {
  const { home, texts } = context;
  const config = findConfig(home);
  const { slot, startedAt, outcome, gone, points, error } = facts;
  const { sent, failures } = outcome;
  return [
    texts('report.title', { date: momentText(startedAt) }),
    ...(config ? [texts('report.who', { number: visible(config.number), device: visible(config.deviceName) })] : []),
    texts('report.for', { date: momentText(slot) }),
    '',
    ...(error ? errorLines(error, texts) : []),
    ...failures.flatMap(({ mandate, error: why }) => {
      const { message, hint } = explain(why, texts);
      const line = texts('send.failed', { name: visible(mandate.name), message });
      return hint ? [line, `  → ${hint}`] : [line];
    }),
    ...gone.map((id) => texts('report.gone', { id: id.slice(0, 8) })),
    ...points.map((point) => pointLine(texts, point)),
    ...sent.flatMap((one) => sentLines(context, one)),
    '',
    summary(context, facts),
  ];
}

function pointLine(texts: Context['texts'], { mandate, id = '', unchanged, error }: LocalPoint): string {
  const name = visible(mandate);
  if (error) return texts('send.failed', { name, message: explain(error, texts).message });
  return texts(unchanged ? 'report.point-unchanged' : 'report.point', { name, id: id.slice(0, 8) });
}

function errorLines(error: AgentError, texts: Context['texts']): string[] {
  const { message, hint } = explain(error, texts);
  return [`✗ ${message}`, ...(hint ? [`  → ${hint}`] : [])];
}

function summary({ texts }: Context, { outcome, startedAt, finishedAt, error }: RunFacts): string {
  const { sent, failures } = outcome;
  const partial = sent.filter(({ result }) => result.problems.length > 0).length;
  const params = {
    sent: sent.length,
    failed: failures.length,
    partial,
    changed: counted(texts, 'snapshots', sent.filter(({ result }) => !result.unchanged).length),
    bytes: sizeText(
      sent.reduce((sum, { result }) => sum + result.sentBytes, 0),
      texts.language,
    ),
    duration: durationText(Math.max(0, finishedAt - startedAt), texts.language),
  };
  if (error) return `✗ ${texts('report.summary-none', params)}`;
  return failures.length + partial > 0
    ? `⚠ ${texts('report.summary-bad', params)}`
    : `✓ ${texts('report.summary', params)}`;
}
