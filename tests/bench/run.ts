// npm run bench: what sending and restoring costs, beside restic and borg on the same machine in the same run.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeBooks, makeSmallFiles } from '../support/books.ts';
import { sizeOf } from '../support/compare.ts';
import { repository } from '../support/process.ts';
import stopTestServers from '../support/test-servers.mjs';
import { borg, type Challenge, cresusSafe, restic } from './contestants.ts';
import { measureFlat, reportFlat } from './flat.ts';
import { reportLarge, reportMandate, reportSmall, reportUploads } from './report.ts';
import { playRounds } from './rounds.ts';
import { measureUploads } from './uploads.ts';
import { countBytesOnTheWire } from './wire.ts';

const HELP = `npm run bench -- [--only mandate,small,flat,uploads,large] [--rounds 5] [--scale 1] [--large-gb 10] [--dir DIR] [--quiet]

  mandate   a mandate of 264 MB x scale: initial send, unchanged, a day, restore; beside restic and borg
  small     100,000 small files: initial send and unchanged; beside restic
  flat      commit, page and account with 10 and 10,000 snapshots, 10 and 100,000 subscribers, on SQLite and PostgreSQL;
            CPU and p99 of metadata requests (not part of the default)
  uploads   20 parallel uploads: memory and event loop of the server
  large     memory for a mandate of --large-gb (not part of the default: it needs five times that on the disk)`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'mandate,small,uploads' },
    rounds: { type: 'string', default: '5' },
    scale: { type: 'string', default: '1' },
    'large-gb': { type: 'string', default: '10' },
    dir: { type: 'string', default: tmpdir() },
    quiet: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(HELP);
else await bench();

async function bench(): Promise<void> {
  const parts = values.only.split(',');
  const unknown = parts.find((part) => !['mandate', 'small', 'flat', 'uploads', 'large'].includes(part));
  if (unknown !== undefined) throw new Error(`no part ${unknown}\n${HELP}`);
  const work = mkdtempSync(join(values.dir, 'cresus-safe-bench-'));
  const results: Record<string, unknown> = { machine: machine(), at: new Date().toISOString() };
  console.log(`\n${Object.values(machine()).join(' · ')}\n`);
  try {
    if (parts.includes('mandate')) results['mandate'] = await mandatePart(work);
    if (parts.includes('small')) results['small'] = await smallPart(work);
    if (parts.includes('flat')) results['flat'] = await flatPart(work);
    if (parts.includes('uploads')) results['uploads'] = await uploadsPart(work);
    if (parts.includes('large')) results['large'] = await largePart(work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const out = join(repository, '.cache/bench');
  mkdirSync(out, { recursive: true });
  const file = join(out, `${new Date().toISOString().replaceAll(':', '-').slice(0, 19)}.json`);
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  console.log(`\n${file}`);
}

function machine(): Record<string, string> {
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: repository, encoding: 'utf8' }).stdout;
  return {
    cpu: `${cpus().length} × ${cpus()[0]?.model.trim()}`,
    memory: `${(totalmem() / 1e9).toFixed(0)} GB`,
    node: `Node ${process.version}`,
    restic: versionOf('restic', 'version'),
    borg: versionOf('borg', '--version'),
    commit: `commit ${commit.trim() || '(none)'}`,
  };
}

function versionOf(program: string, flag: string): string {
  try {
    return execFileSync(program, [flag], { encoding: 'utf8' }).split(' compiled')[0]?.trim() ?? program;
  } catch {
    return `${program} is not installed (apt-get install restic borgbackup)`;
  }
}

/** The others that are installed here. */
function rivals(names: readonly ('restic' | 'borg')[]): Record<string, Challenge> {
  const all = { restic, borg };
  const here = names.filter((name) => spawnSync(name, ['--help']).status === 0);
  return Object.fromEntries(here.map((name) => [name, all[name]]));
}

function note(text: string): void {
  if (!values.quiet) console.error(`  ${text}`);
}

async function mandatePart(work: string): Promise<unknown> {
  const scale = Number(values.scale);
  const pristine = join(work, 'pristine');
  makeBooks(pristine, { scale });
  const size = sizeOf(pristine);
  const wire = await countBytesOnTheWire(pristine, scale);
  const challenges = {
    'cresus-safe': cresusSafe({ remembered: true }),
    'cresus-safe (typed)': cresusSafe({ remembered: false }),
    ...rivals(['restic', 'borg']),
  };
  const operations = ['initial', 'unchanged', 'day', 'restore'] as const;
  const options = { pristine, work, rounds: Number(values.rounds), operations, scale, note };
  const results = await playRounds(challenges, options);
  console.log(reportMandate({ size, results, wire, rounds: options.rounds }));
  rmSync(pristine, { recursive: true });
  return { size, results, wire };
}

async function smallPart(work: string): Promise<unknown> {
  const pristine = join(work, 'small');
  makeSmallFiles(pristine, 100_000);
  const size = sizeOf(pristine);
  const challenges = { 'cresus-safe': cresusSafe({ remembered: true }), ...rivals(['restic']) };
  const rounds = Math.min(3, Number(values.rounds));
  const operations = ['initial', 'unchanged', 'restore'] as const;
  const results = await playRounds(challenges, { pristine, work, rounds, operations, scale: 1, note });
  console.log(reportSmall({ size, results, rounds }));
  rmSync(pristine, { recursive: true });
  return { size, results };
}

async function flatPart(work: string): Promise<unknown> {
  const report = await measureFlat(work, note).finally(stopTestServers);
  console.log(reportFlat(report));
  return report;
}

async function uploadsPart(work: string): Promise<unknown> {
  const uploads = await measureUploads(20, 4, work);
  console.log(reportUploads(uploads));
  return uploads;
}

async function largePart(work: string): Promise<unknown> {
  const scale = Number(values['large-gb']) / 0.264;
  const pristine = join(work, 'large');
  if (!existsSync(pristine)) makeBooks(pristine, { scale });
  const size = sizeOf(pristine);
  const operations = ['initial', 'unchanged', 'day', 'restore'] as const;
  const challenges = { 'cresus-safe': cresusSafe({ remembered: true }) };
  const results = await playRounds(challenges, { pristine, work, rounds: 1, operations, scale, note });
  console.log(reportLarge({ size, results, rounds: 1 }));
  return { size, results };
}
