import { existsSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { type DrillResult, drill as drillSource, inScratch, isSound } from '../drill/drill.ts';
import { AgentError, EXIT_CODES, EXIT_PARTIAL, toAgentError } from '../errors.ts';
import { ensureFolder, writeDurable } from '../local/files.ts';
import { loadMandates } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { visible } from '../render/text.ts';
import { writeReport } from '../schedule/reports.ts';
import type { Context } from './context.ts';
import { type Drilled, drillJson, drillLines } from './drill-report.ts';
import { lockHome } from './home-lock.ts';
import { type OpenedBackup, openBackup } from './restore-source.ts';
import { RestoreStores } from './restore-stores.ts';

export interface DrillArgs {
  readonly name: string | undefined;
  readonly point: string | undefined;
  readonly copy: string | undefined;
  readonly report: string | undefined;
  readonly overwrite: boolean;
}

/**
 * A test restore into a scratch folder, everything read again, compared and removed; the report can be kept as evidence.
 * Of a mandate's newest snapshot, of every mandate's here, of a point, or of a copy.
 * @returns exit code 10 when anything is off, 3 when the backup itself lacks files, that of what stopped a drill
 */
export async function drill(context: Context, args: DrillArgs): Promise<Outcome> {
  const { home, now } = context;
  const file = args.report === undefined ? undefined : freeFile(args.report, args.overwrite);
  requireName(args);
  using _lock = await lockHome(context);
  const startedAt = now();
  const drilled = await drillEach(context, args);
  const facts = { startedAt, finishedAt: now(), exitCode: exitCodeOf(drilled), drilled };
  const json = drillJson(context, facts);
  const lines = drillLines(context, facts);
  const report = file ? keepAt(file, json, lines) : writeReport(home, 'drill', startedAt, json, lines);
  return {
    json: { ...json, report: { json: report.json, text: report.text } },
    lines: [...lines, context.texts('drill.kept', { path: visible(report.text) })],
    exitCode: facts.exitCode,
  };
}

function requireName({ name, point, copy }: DrillArgs): void {
  if (copy !== undefined && name !== undefined)
    throw new AgentError('usage', 'a copy says itself of which mandate it is', { key: 'error.drill-copy-name' });
  if (point !== undefined && name === undefined)
    throw new AgentError('usage', 'a point of what', { key: 'error.no-mandate-given' });
}

async function drillEach(context: Context, { copy, point, name }: DrillArgs): Promise<Drilled[]> {
  using stores = new RestoreStores(context);
  const newest = (of: string): Promise<OpenedBackup> =>
    openBackup(context, stores, { name: of, snapshot: 'latest', copy: undefined, point: undefined });
  if (copy === undefined && point === undefined && name === undefined) {
    await stores.safe(); // without a connection there is nothing to report
    const drilled: Drilled[] = [];
    for (const mandate of loadMandates(context.home))
      drilled.push(
        await attempt(mandate.name, () => newest(mandate.name).then((opened) => overBackup(context, opened))),
      );
    return drilled;
  }
  // what is named and not there is no defect of a backup; a copy that cannot be read is one
  if (copy !== undefined) return [await attempt(basename(copy), () => overCopy(context, stores, copy))];
  const opened =
    point === undefined
      ? await newest(name ?? '')
      : await openBackup(context, stores, { name, point, copy, snapshot: undefined });
  return [await attempt(opened.source.mandateName, () => overBackup(context, opened))];
}

async function overCopy(context: Context, stores: RestoreStores, copy: string): Promise<DrillResult> {
  const none = { name: undefined, snapshot: undefined, point: undefined };
  return overBackup(context, await openBackup(context, stores, { ...none, copy }));
}

/** What stops the test of one mandate is a result too: the report says it, and the others are tested. */
async function attempt(mandate: string, act: () => Promise<DrillResult>): Promise<Drilled> {
  try {
    return { mandate, result: await act() };
  } catch (error) {
    const typed = toAgentError(error);
    if (typed.kind === 'interrupted') throw typed;
    return { mandate, error: typed };
  }
}

async function overBackup(context: Context, opened: OpenedBackup): Promise<DrillResult> {
  const { home, output, texts, signal } = context;
  await using backup = opened;
  const { source } = backup;
  const folder = loadMandates(home).find(({ mandateId }) => mandateId === source.mandateId)?.path;
  const progress = new Progress(output, texts, 'restore', visible(source.mandateName));
  return await inScratch(home, async (scratch) => {
    try {
      return await drillSource({
        ...{ source, scratch, folder, signal },
        progress: ({ files, bytes, totalBytes, downloadedBytes }) =>
          progress.update({ files, bytes, totalBytes, received: downloadedBytes }),
      });
    } finally {
      progress.finish(false);
    }
  });
}

/** Data that is off weighs most: it is what the drill is for. */
function exitCodeOf(drilled: readonly Drilled[]): number {
  const results = drilled.flatMap(({ result }) => result ?? []);
  if (results.some((result) => !isSound(result))) return EXIT_CODES.integrity;
  const errors = drilled.flatMap(({ error }) => error ?? []);
  const [first] = errors.toSorted((a, b) => Number(b.kind === 'integrity') - Number(a.kind === 'integrity'));
  if (first) return first.exitCode;
  return results.some(({ problems }) => problems.length > 0) ? EXIT_PARTIAL : 0;
}

interface ReportFiles {
  readonly text: string;
  readonly json: string;
}

/** The text where it is asked for, the document beside it. @throws AgentError `usage` when one of them is there already */
function freeFile(report: string, overwrite: boolean): ReportFiles {
  const path = resolve(report);
  const stem = extname(path) === '' ? path : path.slice(0, -extname(path).length);
  const text = extname(path) === '.json' ? `${stem}.txt` : path;
  const files = { text, json: `${stem}.json` };
  const taken = Object.values(files).find((each) => existsSync(each));
  if (taken === undefined || overwrite) return files;
  throw new AgentError('usage', `${taken} exists`, { key: 'error.file-exists', params: { path: taken } });
}

function keepAt(files: ReportFiles, json: unknown, lines: readonly string[]): ReportFiles {
  ensureFolder(dirname(files.text));
  writeDurable(files.text, `${lines.join('\n')}\n`, 0o644);
  writeDurable(files.json, `${JSON.stringify(json, null, 2)}\n`, 0o644);
  return files;
}
