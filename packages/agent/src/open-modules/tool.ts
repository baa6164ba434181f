import { execFile } from 'node:child_process';
import { hostname, uptime } from 'node:os';
import { ProbeError, type RunTool } from './probe.ts';

const TOOL_TIMEOUT_MS = 8000;
const MAX_OUTPUT = 8 * 1024 * 1024;

/**
 * Runs a tool of the system, without a shell. It must not keep the agent waiting: `lsof` is known to hang on a network
 * drive that is away.
 * @throws ProbeError when it is not there, or does not answer in time
 */
export const runTool: RunTool = (program, args) =>
  new Promise((resolve, reject) => {
    const options = { timeout: TOOL_TIMEOUT_MS, maxBuffer: MAX_OUTPUT, windowsHide: true, encoding: 'utf8' } as const;
    execFile(program, [...args], options, (error, stdout) => {
      if (!error) resolve({ code: 0, stdout });
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout });
      else reject(new ProbeError(`${program}: ${error.killed ? 'no answer' : error.message}`, { cause: error }));
    });
  });

/** When this computer was started (ms since 1970), by its clock of now. */
export function bootTime(): number {
  return Date.now() - uptime() * 1000;
}

export function ownHost(): string {
  return hostname();
}

/** Whether a process with this id lives, also when it is another user's. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The name of a program from its path, whatever system wrote that. */
export function programName(path: string): string | undefined {
  const name = path.split(/[/\\]/).at(-1)?.trim();
  return name === '' ? undefined : name;
}
