import { closeSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import { diskError, readJson } from './files.ts';
import { shape } from './shape.ts';

interface Holder {
  readonly pid: number;
  readonly boot: string;
  readonly start: string;
}

/** The one writer of a home folder. Released by `release`, by `using`, or by dying: a dead holder's lock is taken over. */
export interface Lock extends Disposable {
  release(): void;
}

/**
 * Takes the lock of a home folder (F-12). The file names its holder by pid, boot id and start time, so that neither a
 * reboot nor a reused pid keeps a dead lock alive.
 * @throws AgentError `another-run` while another run is alive, and the disk kinds
 */
export function takeLock(path: string): Lock {
  const me = describe(process.pid);
  for (let attempt = 0; attempt < 10; attempt++) {
    if (create(path, me)) return held(path, me);
    const holder = readHolder(path);
    if (holder && isAlive(holder)) throw anotherRun(holder.pid);
    removeStale(path, holder);
  }
  throw anotherRun(0);
}

/** Who holds the lock: nobody, a run that is alive, or one that is gone and left it behind (the next run takes it over). */
export function lookAtLock(path: string): { readonly pid: number; readonly alive: boolean } | undefined {
  const holder = readHolder(path);
  return holder && { pid: holder.pid, alive: isAlive(holder) };
}

/** Writes the lock aside and links it into place: it appears whole, or not at all. */
function create(path: string, me: Holder): boolean {
  const own = `${path}.${process.pid}`;
  try {
    const file = openSync(own, 'w', 0o600);
    writeSync(file, JSON.stringify(me));
    closeSync(file);
    linkSync(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw diskError(error, path);
  } finally {
    rmSync(own, { force: true });
  }
}

/** Two runs may find the same dead lock: whoever reads a different holder than before leaves it alone. */
function removeStale(path: string, seen: Holder | undefined): void {
  const now = readHolder(path);
  if (JSON.stringify(now) === JSON.stringify(seen)) rmSync(path, { force: true });
}

function held(path: string, me: Holder): Lock {
  const release = (): void => {
    if (JSON.stringify(readHolder(path)) === JSON.stringify(me)) rmSync(path, { force: true });
  };
  return { release, [Symbol.dispose]: release };
}

function anotherRun(pid: number): AgentError {
  return new AgentError('another-run', `another run is active (pid ${pid})`, { params: { pid }, details: { pid } });
}

/** The holder that the file names; undefined when there is no file, or one that no version of this program wrote. */
function readHolder(path: string): Holder | undefined {
  const read = readJson(path, checkHolder);
  return read.found ? read.value : undefined;
}

function checkHolder(value: unknown): Holder {
  const fields = shape(value);
  return { pid: fields.integer('pid'), boot: fields.text('boot'), start: fields.text('start') };
}

function isAlive(holder: Holder): boolean {
  const now = describe(holder.pid);
  if (holder.boot !== now.boot || (holder.start !== '' && now.start !== holder.start)) return false;
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function describe(pid: number): Holder {
  return { pid, boot: readLine('/proc/sys/kernel/random/boot_id'), start: startOf(pid) };
}

/** Start time of a process in clock ticks since boot, where the system tells (field 22 of proc_pid_stat(5)). */
function startOf(pid: number): string {
  const stat = readLine(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function readLine(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return ''; // not Linux, or the process is gone
  }
}
