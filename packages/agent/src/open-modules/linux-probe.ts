import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Holder, OpenProbe, RunningProcess } from './probe.ts';
import { bootTime, ownHost, programName } from './tool.ts';

/** Clock ticks a second in /proc/<pid>/stat: 100 on every architecture that Node runs on (proc_pid_stat(5)). */
const TICKS = 100;
const PROCESSES_PER_TURN = 64;
const DELETED = ' (deleted)';

/**
 * Linux: `/proc/<pid>/fd` for the processes of this user, `/proc/locks` for everybody's locks. One walk for any number
 * of files: each descriptor costs one readlink, and only what has the name of a file asked for is looked at closer.
 */
export class LinuxProbe implements OpenProbe {
  readonly bootedAt = bootTime();
  readonly hostname = ownHost();
  readonly #proc: string;
  readonly #own: number;

  /** `proc` and `own` (our process id) are given by tests. */
  constructor(proc = '/proc', own: number = process.pid) {
    this.#proc = proc;
    this.#own = own;
  }

  async holders(paths: readonly string[]): Promise<Holder[]> {
    const wanted = new Wanted(paths);
    const found: Holder[] = [];
    const pids = this.#pids();
    for (const [at, pid] of pids.entries()) {
      if (at % PROCESSES_PER_TURN === PROCESSES_PER_TURN - 1) await nextTurn();
      if (pid === this.#own) continue;
      const open = this.#openBy(pid, wanted);
      if (open.size === 0) continue;
      const program = this.#program(pid);
      for (const path of open) found.push({ path, how: 'process', pid, program });
    }
    return [...found, ...this.#locks(wanted)];
  }

  process(pid: number): Promise<RunningProcess | undefined> {
    const stat = read(join(this.#proc, String(pid), 'stat'));
    if (stat === '') return Promise.resolve(undefined);
    const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    const startedAt = this.bootedAt + (ticks / TICKS) * 1000;
    return Promise.resolve({ program: this.#program(pid), startedAt });
  }

  runs(program: string): boolean {
    return this.#pids().some((pid) => read(join(this.#proc, String(pid), 'comm')).startsWith(program));
  }

  #pids(): number[] {
    return list(this.#proc).flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
  }

  #openBy(pid: number, wanted: Wanted): Set<string> {
    const folder = join(this.#proc, String(pid), 'fd');
    const open = new Set<string>();
    for (const fd of list(folder)) {
      const target = link(join(folder, fd));
      if (!target.startsWith('/')) continue;
      const path = wanted.byLink(target, () => identityOf(join(folder, fd)));
      if (path !== undefined) open.add(path);
    }
    return open;
  }

  /** Locks name their file by device and inode; of a lock across the network, or of another container, the pid is not one of ours. */
  #locks(wanted: Wanted): Holder[] {
    return read(join(this.#proc, 'locks'))
      .split('\n')
      .flatMap((line) => {
        const match = /^\d+: (?:-> )?\w+\s+\w+\s+\w+\s+(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
        if (!match) return [];
        const [, pidText, major = '', minor = '', inode = ''] = match;
        const path = wanted.byIdentity(`${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}:${inode}`);
        const pid = Number(pidText);
        if (path === undefined || pid === this.#own) return [];
        const program = pid > 0 ? this.#program(pid) : undefined;
        // a lock outlives who took it where another inherited the open file: that one is found by its descriptor
        return [program === undefined ? { path, how: 'lock' as const } : { path, how: 'lock' as const, pid, program }];
      });
  }

  /** As it was called: under Wine that is the name of the Windows program, where `exe` says only "wine". */
  #program(pid: number): string | undefined {
    const [called = ''] = read(join(this.#proc, String(pid), 'cmdline')).split('\0');
    return programName(called) ?? programName(read(join(this.#proc, String(pid), 'comm')));
  }
}

/** The files asked for, by path, by name, and by device and inode. */
class Wanted {
  readonly #paths: ReadonlySet<string>;
  readonly #names: ReadonlySet<string>;
  readonly #identities = new Map<string, string>();
  #linked = false;

  constructor(paths: readonly string[]) {
    this.#paths = new Set(paths);
    this.#names = new Set(paths.map((path) => basename(path)));
    for (const path of paths) {
      const identity = identityOf(path);
      if (identity === undefined) continue;
      this.#identities.set(identity.id, path);
      if (identity.links > 1) this.#linked = true;
    }
  }

  byIdentity(id: string): string | undefined {
    return this.#identities.get(id);
  }

  /**
   * The file that a descriptor's link means. A program that kept a file open while another took its name still works in
   * it. The same file has other paths under a bind mount, in a container, or as a hard link: there the inode decides.
   */
  byLink(target: string, identity: () => { id: string } | undefined): string | undefined {
    const path = target.endsWith(DELETED) ? target.slice(0, -DELETED.length) : target;
    if (this.#paths.has(path)) return path;
    if (!this.#linked && !this.#names.has(basename(path))) return undefined;
    return this.#identities.get(identity()?.id ?? '');
  }
}

function identityOf(path: string): { id: string; links: number } | undefined {
  try {
    const { dev, ino, nlink } = statSync(path, { bigint: true });
    // the kernel's own packing of a device number (makedev(3)), which /proc/locks prints in two parts
    const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
    const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
    return { id: `${major}:${minor}:${ino}`, links: Number(nlink) };
  } catch {
    return undefined; // gone meanwhile
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // the process is gone, or another user's
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // closed meanwhile
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // gone meanwhile
  }
}
