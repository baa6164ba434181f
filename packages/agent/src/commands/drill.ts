import { existsSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { type DrillResult, drill as drillSource, inScratch, isSound } from '../drill/drill.ts';
import { AgentError, EXIT_CODES, EXIT_PARTIAL, toAgentError } from '../errors.ts';
import { ensureFolder, writeDurable } from '../local/files.ts';
import { loadMandates } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { visible } from '../render/text.ts';
import type { RestoreSource } from '../restore/source.ts';
import { writeReport } from '../schedule/reports.ts';
import type { Context } from './context.ts';
import { type Drilled, drillJson, drillLines } from './drill-report.ts';
import { lockHome } from './home-lock.ts';
import { type Found, Stores } from './stores.ts';

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
  if (point === 'latest' && name === undefined)
    throw new AgentError('usage', 'latest point of what', { key: 'error.no-mandate-given' });
}

async function drillEach(context: Context, args: DrillArgs): Promise<Drilled[]> {
  const { copy, point, name } = args;
  if (copy !== undefined) return [await attempt(basename(copy), () => overCopy(context, copy))];
  using stores = new Stores(context);
  if (point !== undefined) {
    const found = await stores.point(point, name);
    return [await attempt(found.snapshot.mandateName, () => overSnapshot(context, found))];
  }
  if (name !== undefined) {
    const found = await stores.newest(name);
    return [await attempt(found.snapshot.mandateName, () => overSnapshot(context, found))];
  }
  await stores.safe(); // without a connection there is nothing to report
  const drilled: Drilled[] = [];
  for (const mandate of loadMandates(context.home))
    drilled.push(await attempt(mandate.name, async () => overSnapshot(context, await stores.newest(mandate.name))));
  return drilled;
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

async function overSnapshot(context: Context, { kind, vault, snapshot }: Found): Promise<DrillResult> {
  const { vaultSource } = await import('../restore/vault-source.ts');
  const options = { kind, vault, snapshot: snapshot.id, signal: context.signal };
  return overSource(context, snapshot.mandateName, () => vaultSource(options));
}

async function overCopy(context: Context, file: string): Promise<DrillResult> {
  const { openCopy } = await import('../copies/open-copy.ts');
  const { copiedSource } = await import('../restore/copied-source.ts');
  const copy = await openCopy(resolve(file), { password: context.env['CRESUS_SAFE_COPY_PASSWORD'] || undefined });
  try {
    return await overSource(context, copy.manifest.mandate.name, async () => copiedSource(copy, context.signal));
  } finally {
    await copy.close();
  }
}

function overSource(context: Context, name: string, open: () => Promise<RestoreSource>): Promise<DrillResult> {
  const { home, output, texts, signal } = context;
  const folders = new Map(loadMandates(home).map(({ mandateId, path }) => [mandateId, path]));
  const progress = new Progress(output, texts, 'restore', visible(name));
  return inScratch(home, async (scratch) => {
    try {
      return await drillSource({
        ...{ open, scratch, signal, folderOf: (mandateId) => folders.get(mandateId) },
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
