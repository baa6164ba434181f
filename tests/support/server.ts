import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { collect, describe, type Finished, type RunOptions, repository, run, start, until } from './process.ts';

const program = join(repository, 'packages/safe-server/bin/safe-server.mjs');

export interface NewSubscriber {
  readonly name?: string;
  readonly email?: string;
  /** yyyy-mm-dd */
  readonly expires?: string;
  readonly quota?: string;
  readonly lang?: string;
}

export interface Subscriber {
  readonly number: string;
  readonly name: string;
  readonly expiresOn: string;
  readonly enrolmentCode: string;
}

export interface ServerOptions extends Pick<RunOptions, 'env' | 'wrap'> {
  /** More arguments of `serve`. */
  readonly args?: readonly string[];
}

/** The real compiled server, as a process of its own on a folder, with its operator commands. */
export class SafeServer {
  readonly dataDir: string;
  options: ServerOptions;
  #child: ChildProcess | undefined;
  #printed: ReturnType<typeof collect> = { stdout: () => '', stderr: () => '' };
  #earlier = '';
  #port = 0;

  constructor(dataDir: string, options: ServerOptions = {}) {
    mkdirSync(dataDir, { recursive: true });
    this.dataDir = dataDir;
    this.options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the server is not running');
    return this.#child.pid;
  }

  /** Everything the server has printed, over all its starts. */
  get log(): string {
    return this.#earlier + this.#printed.stdout() + this.#printed.stderr();
  }

  /** Starts on a free port (the same one again after a stop) and waits until `/health/ready` says yes. */
  async start(more: ServerOptions = {}): Promise<this> {
    this.#port ||= await freePort();
    this.#earlier = this.log;
    const args = ['serve', '--data-dir', this.dataDir, '--listen', `127.0.0.1:${this.#port}`];
    const child = start([process.execPath, program, ...args, ...(this.options.args ?? []), ...(more.args ?? [])], {
      env: { ...this.options.env, ...more.env },
      wrap: more.wrap ?? this.options.wrap ?? [],
    });
    this.#child = child;
    this.#printed = collect(child);
    await until(
      () => this.#isReady(child),
      () => `the server did not become ready:\n${this.log}`,
    );
    return this;
  }

  async #isReady(child: ChildProcess): Promise<true | undefined> {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended:\n${this.log}`);
    try {
      const answer = await fetch(`${this.url}/health/ready`);
      await answer.arrayBuffer();
      return answer.ok ? true : undefined;
    } catch {
      return undefined; // not listening yet
    }
  }

  /** Ends the server by `signal` and waits; resolves with its exit code (`null` after SIGKILL). */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return null;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    const late = setTimeout(() => child.kill('SIGKILL'), 45_000);
    child.kill(signal);
    const [code] = await ended;
    clearTimeout(late);
    return code;
  }

  /** Waits for a server that ends by itself (a crash point). */
  async ended(timeoutMs = 60_000): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    await until(
      () => (child.exitCode !== null || child.signalCode !== null ? true : undefined),
      () => `the server is still running:\n${this.log}`,
      timeoutMs,
    );
    this.#child = undefined;
  }

  /** Runs an operator command on the server's folder, beside the running server or without it. */
  operate(...args: string[]): Promise<Finished> {
    return run([process.execPath, program, ...args, '--data-dir', this.dataDir], {
      env: { ...this.options.env },
      wrap: this.options.wrap ?? [],
    });
  }

  /** The same with `--json`; throws unless it succeeds. */
  async operateJson<T = unknown>(...args: string[]): Promise<T> {
    const finished = await this.operate(...args, '--json');
    if (finished.code !== 0) throw new Error(`safe-server ${args.join(' ')} ${describe(finished)}`);
    return JSON.parse(finished.stdout) as T;
  }

  addSubscriber(given: NewSubscriber = {}): Promise<Subscriber> {
    const { name = 'Menuiserie Dupont', email = 'dupont@example.ch', expires = '2050-12-31' } = given;
    const more = [given.quota && ['--quota', given.quota], given.lang && ['--lang', given.lang]].filter(Boolean).flat();
    const args = ['subscriber', 'add', '--name', name, '--email', email, '--expires', expires, ...(more as string[])];
    return this.operateJson<Subscriber>(...args);
  }

  async newCode(number: string): Promise<string> {
    return (await this.operateJson<{ enrolmentCode: string }>('subscriber', 'code', number)).enrolmentCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** A port that was free a moment ago; the caller keeps it over restarts, so that agents find the server again. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  await new Promise((closed) => probe.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
