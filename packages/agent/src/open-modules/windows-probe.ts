import { closeSync, constants, openSync } from 'node:fs';
import type { Holder, OpenProbe, RunningProcess, RunTool } from './probe.ts';
import { bootTime, isAlive, ownHost, programName, runTool } from './tool.ts';

/** libuv's UV_FS_O_EXLOCK on Windows (uv/win.h): the file is opened without sharing it. */
const NO_SHARING = 0x10000000;
/** ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION, as libuv names them. */
const IN_USE = new Set(['EBUSY']);

/** Opens a file so that nobody else may have it open, and closes it at once; the code of the error, or undefined. */
export type OpenExclusively = (path: string) => string | undefined;

function openExclusively(path: string): string | undefined {
  try {
    closeSync(openSync(path, constants.O_RDONLY | NO_SHARING));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'UNKNOWN';
  }
}

/**
 * Windows: a file that cannot be opened without sharing it is open somewhere, on this computer or, on a network drive,
 * on another. Who has it is not told.
 */
export class WindowsProbe implements OpenProbe {
  readonly bootedAt = bootTime();
  readonly hostname = ownHost();
  readonly #open: OpenExclusively;
  readonly #run: RunTool;

  constructor(open: OpenExclusively = openExclusively, run: RunTool = runTool) {
    this.#open = open;
    this.#run = run;
  }

  holders(paths: readonly string[]): Promise<Holder[]> {
    const open = paths.filter((path) => IN_USE.has(this.#open(path) ?? ''));
    return Promise.resolve(open.map((path) => ({ path, how: 'process' as const })));
  }

  async process(pid: number): Promise<RunningProcess | undefined> {
    if (!isAlive(pid)) return undefined;
    const { stdout } = await this.#run('tasklist.exe', ['/FI', `PID eq ${pid}`, '/FO', 'CSV', '/NH']);
    return { program: parseTasklist(stdout, pid) };
  }

  runs(): undefined {
    return undefined;
  }
}

/** The program of a process in `tasklist /FO CSV /NH`; undefined when the list does not have it (its words are in the system's language). */
export function parseTasklist(output: string, pid: number): string | undefined {
  for (const line of output.split(/\r?\n/)) {
    const match = /^"([^"]+)","(\d+)"/.exec(line);
    if (match && Number(match[2]) === pid) return programName(match[1] ?? '');
  }
  return undefined;
}
