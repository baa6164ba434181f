import { dirname, join } from 'node:path';
import { describe, type Finished, type RunOptions, repository, run, start } from './process.ts';

const program = join(repository, 'packages/agent/bin/cresus-safe.mjs');

/** What the commands print with `--json`: the public contract, as far as stories look at it. */
export interface Connected {
  readonly subscriber: unknown;
  readonly subscription: { readonly expiresOn: string; readonly state: string };
  readonly deviceId: string;
  readonly vault: 'none' | 'exists';
}

export interface SentSnapshot {
  readonly mandate: string;
  readonly id: string;
  readonly seq: number;
  readonly files: number;
  readonly bytes: number;
  readonly newBytes: number;
  readonly sentBytes: number;
  readonly unchangedFiles: number;
  readonly problems: readonly { readonly path: string; readonly code: string }[];
  readonly durationMs: number;
  readonly unchanged: boolean;
  readonly receipt: Readonly<Record<string, unknown>>;
}

export interface Sent {
  readonly snapshots: readonly SentSnapshot[];
  readonly failures?: readonly { readonly mandate: string; readonly error: AgentFailure }[];
}

export interface Listed {
  readonly snapshots: readonly {
    readonly id: string;
    readonly seq: number;
    readonly createdAt: string | number;
    readonly receivedAt: string | number;
    readonly comment: string;
    readonly files: number;
    readonly bytes: number;
  }[];
}

export interface Restored {
  readonly target: string;
  readonly files: number;
  readonly bytes: number;
  readonly downloadedBytes: number;
  readonly changes: { readonly added: number; readonly changed: number; readonly removed: number };
  readonly safetyPoint: string | null;
  readonly replacedKept: string | null;
  readonly problems: readonly { readonly path: string; readonly code: string }[];
  readonly verified: boolean;
  readonly durationMs: number;
}

export interface Verified {
  readonly checked: { readonly packs: number; readonly bytes: number; readonly snapshots: number };
  readonly problems: readonly unknown[];
}

export interface AgentFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface Refusal {
  readonly exitCode: number | null;
  readonly error: AgentFailure;
  readonly finished: Finished;
}

export interface AgentOptions extends Pick<RunOptions, 'env' | 'wrap' | 'timeoutMs'> {
  /** Typed where the secret key is asked; given through the environment. */
  readonly secret?: string;
}

/** One computer: the real compiled agent on a home folder of its own. */
export class Agent {
  readonly home: string;
  readonly options: AgentOptions;

  constructor(home: string, options: AgentOptions = {}) {
    this.home = home;
    this.options = options;
  }

  /** The same computer with other circumstances for its next commands. */
  with(options: AgentOptions): Agent {
    return new Agent(this.home, { ...this.options, ...options, env: { ...this.options.env, ...options.env } });
  }

  /** Runs a command as a script would, whatever comes out. */
  run(args: readonly string[], more: RunOptions = {}): Promise<Finished> {
    return run([process.execPath, program, '--home', this.home, ...args], this.#circumstances(more));
  }

  /** Starts a command and leaves it running: for signals. */
  start(args: readonly string[], more: RunOptions = {}): ReturnType<typeof start> {
    return start([process.execPath, program, '--home', this.home, ...args], this.#circumstances(more));
  }

  /** Runs a command with `--json` and gives its result; throws with all it printed unless the exit code is `code`. */
  async json<T = Record<string, unknown>>(args: readonly string[], code = 0): Promise<T> {
    const finished = await this.run([...args, '--json']);
    if (finished.code !== code) throw new Error(`cresus-safe ${args.join(' ')} ${describe(finished)}`);
    return oneDocument(finished) as T;
  }

  /** Runs a command that must be refused with `--json`; throws when it succeeds. */
  async refused(args: readonly string[]): Promise<Refusal> {
    const finished = await this.run([...args, '--json']);
    const { error } = (finished.code === 0 ? {} : oneDocument(finished)) as { error?: AgentFailure };
    if (error === undefined) throw new Error(`cresus-safe ${args.join(' ')} was not refused: ${describe(finished)}`);
    return { exitCode: finished.code, error, finished };
  }

  /**
   * Runs a command that dies by SIGKILL at the n-th passing of a crash point; false when the command passes it fewer
   * times and so ends by itself, which ends a loop over n.
   */
  async dies(point: string, n: number, args: readonly string[]): Promise<boolean> {
    const finished = await this.run([...args, '--json'], { env: { SAFE_CRASH_AT: `${point}:${n}` } });
    if (finished.signal === 'SIGKILL') return true;
    if (finished.code !== 0) throw new Error(`${point}:${n}: ${args.join(' ')} ${describe(finished)}`);
    return false;
  }

  connect(url: string, code: string, device = 'bureau'): Promise<Connected> {
    return this.json<Connected>(['connect', '--server', url, '--code', code, '--device', device]);
  }

  async send(...args: string[]): Promise<SentSnapshot> {
    const { snapshots } = await this.json<Sent>(['send', ...args]);
    const [snapshot] = snapshots;
    if (snapshot === undefined || snapshots.length > 1) throw new Error(`${snapshots.length} snapshots`);
    return snapshot;
  }

  restore(...args: string[]): Promise<Restored> {
    return this.json<Restored>(['restore', ...args]);
  }

  #circumstances({ env, ...more }: RunOptions): RunOptions {
    const { secret, wrap, timeoutMs } = this.options;
    // never the keyring nor the home folder of whoever runs the tests
    const own = { CRESUS_SAFE_KEYRING: 'file', HOME: dirname(this.home) };
    return {
      ...(wrap && { wrap }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...more,
      env: { ...own, ...(secret !== undefined && { CRESUS_SAFE_SECRET: secret }), ...this.options.env, ...env },
    };
  }
}

function oneDocument(finished: Finished): unknown {
  try {
    return JSON.parse(finished.stdout);
  } catch (cause) {
    throw new Error(`stdout is not one JSON document: ${describe(finished)}`, { cause });
  }
}
