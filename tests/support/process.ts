import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export const repository = join(import.meta.dirname, '../..');

export interface RunOptions {
  /** Added to the bare environment that every program under test starts with. */
  readonly env?: Readonly<Record<string, string>>;
  /** A command put in front of the program (`nsenter …`, `strace …`). */
  readonly wrap?: readonly string[];
  readonly cwd?: string;
  /** What the program reads on its standard input, which is empty otherwise. */
  readonly input?: string;
  /** After this long the program is killed and the run throws; 120 s by default. */
  readonly timeoutMs?: number;
}

export interface Finished {
  /** `null` when a signal ended the program. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** Starts a program with nothing of this environment but PATH and TMPDIR: a developer's own settings decide no test. */
export function start(argv: readonly string[], options: RunOptions = {}): ChildProcess {
  const [program, ...args] = [...(options.wrap ?? []), ...argv];
  if (program === undefined) throw new Error('nothing to run');
  const { PATH = '', TMPDIR, HOME } = process.env;
  const bare = { PATH, LC_ALL: 'C.UTF-8', ...(HOME && { HOME }), ...(TMPDIR && { TMPDIR }) };
  return spawn(program, args, {
    cwd: options.cwd ?? repository,
    env: { ...bare, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** Runs a program to its end, whatever its exit code. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const begun = performance.now();
  const child = start(argv, options);
  const output = collect(child);
  child.stdin?.on('error', () => undefined); // a program that ends without reading its input is no failure
  child.stdin?.end(options.input ?? '');
  const limit = options.timeoutMs ?? 120_000;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, limit);
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    const finished = { code, signal, stdout: output.stdout(), stderr: output.stderr(), ms: performance.now() - begun };
    if (late) throw new Error(`still running after ${limit} ms: ${argv.join(' ')}\n${describe(finished)}`);
    return finished;
  } finally {
    clearTimeout(timer);
  }
}

/** What a program has printed so far. */
export function collect(child: ChildProcess): { stdout: () => string; stderr: () => string } {
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout?.on('data', (piece: Buffer) => out.push(piece));
  child.stderr?.on('data', (piece: Buffer) => err.push(piece));
  return { stdout: () => Buffer.concat(out).toString(), stderr: () => Buffer.concat(err).toString() };
}

export function describe({ code, signal, stdout, stderr }: Omit<Finished, 'ms'>): string {
  return [`ended with ${signal ?? `exit code ${code}`}`, stdout, stderr].filter(Boolean).join('\n');
}

/** Asks `probe` every 20 ms until it answers something; throws after `timeoutMs` with what `onTimeout` says. */
export async function until<T>(
  probe: () => T | undefined | Promise<T | undefined>,
  onTimeout: () => string,
  timeoutMs = 60_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(onTimeout());
    await new Promise((resume) => setTimeout(resume, 20));
  }
}
