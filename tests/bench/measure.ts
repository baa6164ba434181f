import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';

/** One run of a program, as measured from outside. */
export interface Measured {
  /** Wall time in s. */
  readonly seconds: number;
  /** User and system CPU time of the program and its children, in s. */
  readonly cpuSeconds: number;
  /** Peak resident memory of the biggest process among them, in bytes. */
  readonly peakBytes: number;
  readonly stdout: string;
}

export interface MeasureOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/**
 * Runs a program under GNU time (`/usr/bin/time`), the one way to know peak memory and CPU time of a process that has
 * ended. @throws Error when the program fails, with what it printed
 */
export async function measure(argv: readonly string[], { env = {}, cwd }: MeasureOptions = {}): Promise<Measured> {
  const begun = performance.now();
  const format = 'measured %U %S %M';
  const child = spawn('/usr/bin/time', ['-q', '-f', format, ...argv], {
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd && { cwd }),
  });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (piece: Buffer) => out.push(piece));
  child.stderr.on('data', (piece: Buffer) => err.push(piece));
  const [code] = (await once(child, 'close')) as [number | null];
  const seconds = (performance.now() - begun) / 1_000;
  const stdout = Buffer.concat(out).toString();
  const stderr = Buffer.concat(err).toString();
  const found = /measured ([\d.]+) ([\d.]+) (\d+)\s*$/.exec(stderr);
  if (code !== 0 || found === null) throw new Error(`${argv.join(' ')} ended with ${code}\n${stdout}\n${stderr}`);
  const [user, system, kib] = found.slice(1).map(Number) as [number, number, number];
  return { seconds, cpuSeconds: user + system, peakBytes: kib * 1_024, stdout };
}

/** Lets the peak memory of a running process begin anew (proc(5): clear_refs 5). */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Peak memory (since `resetPeak`) and CPU time so far of a running process, from /proc. */
export function standing(pid: number): { peakBytes: number; cpuSeconds: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]);
  // the command may hold spaces, so fields are counted after its closing parenthesis (proc(5): 14 utime, 15 stime)
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return { peakBytes: peak * 1_024, cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100 };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[middle - 1], sorted[middle]];
  if (high === undefined) return Number.NaN;
  return sorted.length % 2 === 1 || low === undefined ? high : (low + high) / 2;
}
