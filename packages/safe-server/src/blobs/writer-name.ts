import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Names of temporary files say who writes them: `<place>-<pid>-<start>-<random>`. Place is this boot of this machine and
 * its process namespace (two containers on one folder both have a process 1), start the moment at which the process
 * began (ids come back): so a name belongs to one process for ever.
 */
const NAME = /^([0-9a-f]{12})-(\d{1,10})-(\d{1,20})-[0-9a-f]{24}$/;

const place = createHash('sha256').update(describePlace()).digest('hex').slice(0, 12);
const own = `${place}-${process.pid}-${startOf('self') ?? Math.round(performance.timeOrigin)}`;

/** A new name for a temporary file of this process. */
export function tempName(): string {
  return `${own}-${randomBytes(12).toString('hex')}`;
}

/**
 * Whether the process that writes the file of that name still runs: `unknown` for one of another machine, boot or
 * container, and where the system does not tell when a process began.
 */
export function writerOf(name: string): 'running' | 'gone' | 'unknown' {
  if (name.startsWith(`${own}-`)) return 'running';
  const [, where, pid = '', start] = NAME.exec(name) ?? [];
  if (where === undefined) return 'unknown';
  if (where !== place) return 'unknown';
  if (Number(pid) === process.pid || !isAlive(Number(pid))) return 'gone';
  const began = startOf(pid);
  if (began === undefined) return 'unknown';
  return began === start ? 'running' : 'gone';
}

function describePlace(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname(); // no Linux: no boot, no containers to tell apart
  }
}

/** When a process began, in ticks since the boot; undefined where the system does not say. */
function startOf(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // proc_pid_stat(5), field 22; the name in the second field may hold anything, also blanks and parentheses
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
