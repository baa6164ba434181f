/** A process other than ours that has a file open, or holds a lock on it. */
export interface Holder {
  /** One of the paths that were asked for. */
  readonly path: string;
  readonly how: 'process' | 'lock';
  readonly pid?: number | undefined;
  readonly program?: string | undefined;
}

/** A living process; `startedAt` is ms since 1970, where the system tells. */
export interface RunningProcess {
  readonly program?: string | undefined;
  readonly startedAt?: number | undefined;
}

/** What the platform knows of processes and the files they have open. Our own process never counts. */
export interface OpenProbe {
  /**
   * Who has these existing files (absolute paths, links resolved) open. What other users' processes do may stay hidden.
   * @throws ProbeError when the system cannot be asked
   */
  holders(paths: readonly string[]): Promise<Holder[]>;
  /** The process with this id, or undefined when there is none. */
  process(pid: number): Promise<RunningProcess | undefined>;
  /** Whether a program of this name runs; undefined where that cannot be told. */
  runs(program: string): boolean | undefined;
  /** ms since 1970 */
  readonly bootedAt: number;
  readonly hostname: string;
}

/** The system could not be asked what is open. */
export class ProbeError extends Error {
  override readonly name = 'ProbeError';
}

/** Runs a program of the system and gives its exit code and standard output. */
export type RunTool = (program: string, args: readonly string[]) => Promise<{ code: number; stdout: string }>;
