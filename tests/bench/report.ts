import { OPERATIONS, type Operation, type Result, type Results } from './rounds.ts';
import { megabytes, ratio, seconds, table } from './table.ts';
import type { Uploads } from './uploads.ts';
import type { Wire } from './wire.ts';

interface Part {
  readonly size: { readonly files: number; readonly bytes: number };
  readonly results: Results;
  readonly rounds: number;
}

const OURS = 'cresus-safe';
const TYPED = 'cresus-safe (typed)';

/** Wall time of ours over restic's in the same run; root key remembered. */
const TARGETS: Record<Operation, [target: number, stretch: number]> = {
  initial: [1, 0.7],
  unchanged: [0.25, 0.15],
  day: [0.5, 0.3],
  restore: [0.9, 0.6],
};

export function reportMandate(part: Part & { readonly wire: Wire }): string {
  const { size, wire } = part;
  return [
    `A mandate of ${megabytes(size.bytes)} MB in ${size.files} files; medians of ${part.rounds} rounds, interleaved`,
    '',
    timesTable(part),
    '',
    ratioTable(part.results, TARGETS),
    '',
    '  "remembered": the root key lies on the computer, no key is derived. "typed": the secret key is typed each time,',
    '  which costs one Argon2id (256 MiB, t=3, p=4). restic and borg derive a key from their password at each run,',
    '  and write to a local folder without any server; ours are two processes on loopback.',
    '',
    costTable(part),
    '',
    wireTable(part, wire),
    '',
  ].join('\n');
}

export function reportSmall(part: Part): string {
  const { size } = part;
  const targets = { initial: [0.5, 0.4] } as const;
  return [
    `${size.files} small files, ${megabytes(size.bytes)} MB; medians of ${part.rounds} rounds, root key remembered`,
    '',
    timesTable(part),
    '',
    ratioTable(part.results, targets),
    '',
    costTable(part),
    '',
  ].join('\n');
}

export function reportLarge(part: Part): string {
  const { size, results } = part;
  const peak = (operation: Operation): string => megabytes(results[OURS]?.[operation]?.peakBytes);
  return [
    `A mandate of ${(size.bytes / 1e9).toFixed(1)} GB in ${size.files} files, one round, root key remembered`,
    '',
    timesTable(part),
    '',
    costTable(part),
    '',
    `  peak memory of the agent: initial ${peak('initial')} MB (target 450), a day ${peak('day')} MB (target 300)`,
    '',
  ].join('\n');
}

export function reportUploads(uploads: Uploads): string {
  const { parallel, bytes, peakBytes, loopMaxMs } = uploads;
  const verdict = (isMet: boolean): string => (isMet ? 'met' : 'NOT met');
  return [
    `${parallel} parallel uploads, ${megabytes(bytes)} MB in ${seconds(uploads.seconds)} s`,
    '',
    table([
      ['server', 'measured', 'target', ''],
      ['peak memory, MB', megabytes(peakBytes), '150', verdict(peakBytes <= 150e6)],
      ['  before, MB', megabytes(uploads.idleBytes), '', ''],
      ['event loop blocked at most, ms', loopMaxMs.toFixed(1), '50', verdict(loopMaxMs <= 50)],
      ['  99 % of turns, ms', uploads.loopP99Ms.toFixed(1), '', ''],
      ['CPU s per GB', ((uploads.cpuSeconds / bytes) * 1e9).toFixed(2), '', ''],
    ]),
    '',
  ].join('\n');
}

function timesTable({ size, results }: Part): string {
  const names = Object.keys(results);
  const rows = present(results).map((operation) => [
    operation,
    ...names.flatMap((name) => {
      const result = results[name]?.[operation];
      return [seconds(result?.seconds), result === undefined ? '' : rate(size.bytes, result.seconds)];
    }),
  ]);
  return table([['wall time', ...names.flatMap((name) => [`${name}, s`, 'MB/s'])], ...rows]);
}

function rate(bytes: number, wall: number): string {
  return (bytes / 1e6 / wall).toFixed(0);
}

function ratioTable(
  results: Results,
  targets: Partial<Record<Operation, readonly [target: number, stretch: number]>>,
): string {
  const rows = present(results).map((operation) => {
    const theirs = results['restic']?.[operation]?.seconds;
    const mine = results[OURS]?.[operation]?.seconds;
    const target = targets[operation];
    const cells = [ratio(mine, theirs), ratio(results[TYPED]?.[operation]?.seconds, theirs)];
    if (target === undefined || mine === undefined || theirs === undefined) return [operation, ...cells, '', ''];
    const [goal, stretch] = target;
    const reached = mine / theirs <= stretch ? 'stretch met' : mine / theirs <= goal ? 'met' : 'NOT met';
    return [operation, ...cells, `≤ ${goal} (${stretch})`, reached];
  });
  return table([['ours / restic', 'remembered', 'typed', 'target (stretch), remembered', ''], ...rows]);
}

function costTable({ size, results }: Part): string {
  const perGb = (cpu: number | undefined): string => (cpu === undefined ? '' : ((cpu / size.bytes) * 1e9).toFixed(2));
  const rows = Object.entries(results).flatMap(([name, operations]) =>
    present(results).map((operation) => {
      const result: Result | undefined = operations[operation];
      return [
        `${name} ${operation}`,
        megabytes(result?.peakBytes),
        perGb(result?.cpuSeconds),
        megabytes(result?.serverPeakBytes),
        perGb(result?.serverCpuSeconds),
        megabytes(result?.stored, 2),
      ];
    }),
  );
  return table([['cost', 'peak MB', 'CPU s/GB', 'server peak MB', 'server CPU s/GB', 'stored MB'], ...rows]);
}

function wireTable({ results }: Part, wire: Wire): string {
  const theirs = results['restic']?.day?.stored;
  const mine = wire.day.up + wire.day.down;
  const rows = OPERATIONS.map((operation) => [
    operation,
    megabytes(wire[operation].up, 3),
    megabytes(wire[operation].down, 3),
  ]);
  const verdict =
    theirs === undefined
      ? ''
      : `\n  a day: restic stores ${(theirs / mine).toFixed(1)} times our bytes (target: 12 times or more)`;
  return table([['bytes on the wire, ours', 'up MB', 'down MB'], ...rows]) + verdict;
}

function present(results: Results): Operation[] {
  return OPERATIONS.filter((operation) => Object.values(results).some((result) => result[operation] !== undefined));
}
