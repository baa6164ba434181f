import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from '@jest/globals';
import { repository } from './process.ts';

/**
 * `test` when the means are there. When they are not: a failure under CI=true, so that no pipeline goes green without
 * having looked; on a developer's machine a skip that says why.
 */
export function testWith(means: string | undefined): typeof test | typeof test.skip {
  if (means === undefined) return test;
  if (process.env['CI'] === 'true') throw new Error(`this machine cannot run these tests: ${means}`);
  console.warn(`SKIPPED: ${means}`);
  return test.skip;
}

/** Why `name` cannot be run here, or `undefined`. */
export function lacksProgram(name: string, args: readonly string[] = ['--version']): string | undefined {
  const tried = spawnSync(name, args);
  return tried.status === 0 ? undefined : `${name} is not installed`;
}

/** Why no small disk can be mounted here, or `undefined`. */
export function lacksSmallDisk(): string | undefined {
  const tried = spawnSync('unshare', [...namespace(), 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', '/mnt']);
  return tried.status === 0 ? undefined : `no tmpfs in a mount namespace (unshare): ${tried.stderr ?? tried.error}`;
}

function namespace(): string[] {
  return process.getuid?.() === 0 ? ['-m'] : ['-r', '-m'];
}

/**
 * A folder on a disk of its own, of a given size, that only wrapped programs see: a tmpfs in a mount namespace, kept
 * alive by a sleeping process. Goes without a trace when that ends.
 */
export class SmallDisk {
  /** Where wrapped programs find the disk. */
  readonly dir: string;
  readonly #holder: ChildProcess;

  private constructor(dir: string, holder: ChildProcess) {
    this.dir = dir;
    this.#holder = holder;
  }

  /** Mounts `size` bytes (tmpfs syntax: `8m`) over the folder `dir`, which is made when it is missing. */
  static async over(dir: string, size: string): Promise<SmallDisk> {
    mkdirSync(dir, { recursive: true });
    const script = 'mount -t tmpfs -o "size=$1" none "$2" && echo ready && exec sleep infinity';
    const holder = spawn('unshare', [...namespace(), 'sh', '-c', script, 'sh', size, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(holder, 'exit').then(() => Promise.reject(new Error(`cannot mount ${size} over ${dir}`)));
    await Promise.race([once(holder.stdout as NodeJS.ReadableStream, 'data'), gone]);
    gone.catch(() => undefined); // its end is no news after this
    return new SmallDisk(dir, holder);
  }

  /** Put in front of a program that shall see the disk. */
  get wrap(): string[] {
    const user = process.getuid?.() === 0 ? [] : ['-U', '--preserve-credentials'];
    return ['nsenter', '-t', String(this.#holder.pid), ...user, '-m', '--'];
  }

  /** The same folder for this process, which is outside. */
  get outside(): string {
    return join(`/proc/${this.#holder.pid}/root`, this.dir);
  }

  resize(size: string): void {
    this.#inside('mount', '-o', `remount,size=${size}`, this.dir);
  }

  /** Lets nothing more be written (EROFS), or again. */
  setReadOnly(isReadOnly: boolean): void {
    this.#inside('mount', '-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, this.dir);
  }

  #inside(...argv: string[]): void {
    const [program, ...args] = [...this.wrap, ...argv] as [string, ...string[]];
    execFileSync(program, args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#holder, 'exit');
    this.#holder.kill('SIGKILL');
    await ended;
  }
}

const source = join(repository, 'infra/faults/fault.c');
const library = join(repository, '.cache/faults/fault.so');

/** Why file calls cannot be made to fail here, or `undefined`. Compiles the library when it is older than its source. */
export function lacksFaults(): string | undefined {
  if (process.platform !== 'linux') return 'LD_PRELOAD faults need Linux';
  if (existsSync(library) && statSync(library).mtimeMs > statSync(source).mtimeMs) return undefined;
  mkdirSync(join(library, '..'), { recursive: true });
  const args = ['-shared', '-fPIC', '-O2', '-pthread', '-o', library, source, '-ldl'];
  const compiled = spawnSync('cc', args, { encoding: 'utf8' });
  return compiled.status === 0 ? undefined : `cannot compile ${source}: ${compiled.stderr ?? compiled.error}`;
}

export type FileCall = 'open' | 'read' | 'write' | 'sync' | 'rename' | 'mkdir' | 'unlink';

export interface FileFault {
  /** Only paths that begin with this fail. */
  readonly below: string;
  readonly calls?: readonly FileCall[];
  /** Default ENOSPC. */
  readonly error?: 'ENOSPC' | 'EIO' | 'EROFS' | 'EACCES' | 'EMFILE';
  /** Only the n-th such call fails, counted from 1. */
  readonly at?: number;
  /** Nothing fails while this file does not exist. */
  readonly switch?: string;
  /** Gets a line for each call that failed. */
  readonly log?: string;
}

const ERRNO = { EIO: 5, EACCES: 13, EMFILE: 24, ENOSPC: 28, EROFS: 30 } as const;

/** The environment in which a program meets the fault. */
export function faultEnv(fault: FileFault): Record<string, string> {
  return {
    LD_PRELOAD: library,
    FAULT_PATH: fault.below,
    FAULT_ERRNO: String(ERRNO[fault.error ?? 'ENOSPC']),
    ...(fault.calls && { FAULT_CALLS: fault.calls.join(',') }),
    ...(fault.at !== undefined && { FAULT_AT: String(fault.at) }),
    ...(fault.switch !== undefined && { FAULT_SWITCH: fault.switch }),
    ...(fault.log !== undefined && { FAULT_LOG: fault.log }),
  };
}

/** The calls that were made to fail so far: a test must know that its fault happened. */
export function faultsMet(log: string): string[] {
  return existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(Boolean) : [];
}
