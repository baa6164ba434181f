import { type DrillResult, isSound } from '../drill/drill.ts';
import type { AgentError } from '../errors.ts';
import { findConfig } from '../local/config.ts';
import { explain } from '../render/output.ts';
import { counted, countText, durationText, momentText, sizeText, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { problemText } from './show.ts';

/** The test of one backup: what it showed, or what stopped it. */
export interface Drilled {
  readonly mandate: string;
  readonly result?: DrillResult;
  readonly error?: AgentError;
}

export interface DrillFacts {
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly drilled: readonly Drilled[];
}

const LISTED = 40;

/** The report as a document. */
export function drillJson({ home, texts, version }: Context, facts: DrillFacts): Record<string, unknown> {
  const { startedAt, finishedAt, exitCode, drilled } = facts;
  const config = findConfig(home);
  return {
    ...{ startedAt, finishedAt, exitCode },
    subscriber: config?.number ?? null,
    device: config?.deviceName ?? null,
    server: config?.server.url ?? null,
    agentVersion: version,
    drills: drilled.map(({ mandate, result, error }) => ({
      mandate,
      sound: result !== undefined && isSound(result),
      ...result,
      error: error ? { code: error.kind, ...explain(error, texts), details: error.details } : null,
    })),
  };
}

/** The report for people; the verdict last. */
export function drillLines(context: Context, { startedAt, finishedAt, drilled }: DrillFacts): string[] {
  const { home, texts, version } = context;
  const config = findConfig(home);
  const good = drilled.filter(({ result }) => result && isSound(result)).length;
  const duration = durationText(Math.max(0, finishedAt - startedAt), texts.language);
  const params = { good, bad: drilled.length - good, duration };
  return [
    texts('drill.title', { date: momentText(startedAt) }),
    ...(config ? [texts('report.who', { number: visible(config.number), device: visible(config.deviceName) })] : []),
    texts('drill.agent', { version }),
    '',
    ...drilled.flatMap((each) => [...drilledLines(context, each), '']),
    good === drilled.length ? `✓ ${texts('drill.good', params)}` : `✗ ${texts('drill.bad', params)}`,
  ];
}

function drilledLines(context: Context, { mandate, result, error }: Drilled): string[] {
  const { texts } = context;
  if (result) return resultLines(context, result);
  if (!error) return [];
  const { message, hint } = explain(error, texts);
  return [texts('send.failed', { name: visible(mandate), message }), ...(hint ? [`  → ${hint}`] : [])];
}

function resultLines(context: Context, result: DrillResult): string[] {
  const { texts } = context;
  const { kind, id, mandate, createdAt, files, bytes, verified, comparedWithDisk } = result;
  const { language } = texts;
  const source = texts(`drill.kind-${kind}`, { id: id.slice(0, 8), date: momentText(createdAt) });
  return [
    `${isSound(result) ? '✓' : '✗'} ${visible(mandate)} · ${source}`,
    texts('drill.restored', {
      files: counted(texts, 'files', files),
      bytes: sizeText(bytes, language),
      duration: durationText(result.durationMs, language),
    }),
    texts('drill.verified', { verified: countText(verified), compared: countText(comparedWithDisk) }),
    ...moduleLines(context, result),
    ...listed(context, texts('drill.damaged'), [
      ...result.damaged.map(({ path, code }) => problemText(texts, path, code)),
      ...result.wrong.map((path) => problemText(texts, path, 'damaged')),
    ]),
    ...listed(context, texts('drill.differs'), result.differsFromDisk.map(visible)),
    ...listed(
      context,
      texts('drill.lacking'),
      result.problems.map(({ path, code }) => problemText(texts, path, code)),
    ),
  ];
}

function moduleLines({ texts }: Context, { modules }: DrillResult): string[] {
  return modules.map(({ file, format, ok }) =>
    texts(ok ? (format === 'unknown' ? 'drill.module-unknown' : 'drill.module-good') : 'drill.module-bad', {
      file: visible(file),
      format: format === 'sqlite' ? 'SQLite' : 'ZIP',
    }),
  );
}

function listed({ texts }: Context, title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  const left = lines.length - LISTED;
  return [
    `  ${title}`,
    ...lines.slice(0, LISTED).map((line) => `    ${line}`),
    ...(left > 0 ? [texts('send.more', { count: left })] : []),
  ];
}
