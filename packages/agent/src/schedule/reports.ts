import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensureFolder, onDisk, removeDurable, writeDurable } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { ZONE } from './schedule.ts';

/** A scheduled run, or a test restore. */
export type ReportKind = 'run' | 'drill';

export interface WrittenReport {
  /** File name without extension; in the order of time. */
  readonly name: string;
  readonly json: string;
  readonly text: string;
}

const KEPT = 100;
const NAME = /^(\d{4}-\d{2}-\d{2}T\d{6}(?:-\d+)?-(?:run|drill))\.(?:json|txt)$/;

/** Where reports are kept. */
export function reportsFolder(home: Home): string {
  return join(home.dir, 'reports');
}

/**
 * Keeps a report as a JSON document and as a text, and of all reports the newest hundred. Its name tells its moment on
 * the wall clock, so that a folder listing is in order; a second one of the same second gets a number.
 */
export function writeReport(
  home: Home,
  kind: ReportKind,
  at: number,
  facts: unknown,
  lines: readonly string[],
): WrittenReport {
  const folder = reportsFolder(home);
  ensureFolder(folder);
  const name = freeName(folder, kind, at);
  const report = { name, json: join(folder, `${name}.json`), text: join(folder, `${name}.txt`) };
  writeDurable(report.text, `${lines.join('\n')}\n`);
  writeDurable(report.json, `${JSON.stringify(facts, null, 2)}\n`);
  prune(folder);
  return report;
}

function freeName(folder: string, kind: ReportKind, at: number): string {
  const taken = new Set(reportNames(folder));
  const stamp = stampOf(at);
  for (let n = 1; ; n++) {
    const name = n === 1 ? `${stamp}-${kind}` : `${stamp}-${n}-${kind}`;
    if (!taken.has(name)) return name;
  }
}

function stampOf(at: number): string {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, dateStyle: 'short', timeStyle: 'medium' });
  return format.format(at).replace(' ', 'T').replaceAll(':', '');
}

/** Names of the reports in the folder, oldest first. */
export function reportNames(folder: string): string[] {
  const files = onDisk(folder, () => readdirSync(folder));
  return [...new Set(files.flatMap((file) => NAME.exec(file)?.[1] ?? []))].sort();
}

function prune(folder: string): void {
  for (const name of reportNames(folder).slice(0, -KEPT))
    for (const extension of ['txt', 'json']) removeDurable(join(folder, `${name}.${extension}`));
}
