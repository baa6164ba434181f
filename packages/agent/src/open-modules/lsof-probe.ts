import { statSync } from 'node:fs';
import { type Holder, type OpenProbe, ProbeError, type RunningProcess, type RunTool } from './probe.ts';
import { bootTime, ownHost, programName, runTool } from './tool.ts';

/** macOS: `lsof`, which belongs to the system there. Also serves the BSDs that have it. */
export class LsofProbe implements OpenProbe {
  readonly bootedAt = bootTime();
  readonly hostname = ownHost();
  readonly #run: RunTool;
  readonly #own: number;

  constructor(run: RunTool = runTool, own: number = process.pid) {
    this.#run = run;
    this.#own = own;
  }

  async holders(paths: readonly string[]): Promise<Holder[]> {
    if (paths.length === 0) return [];
    // exit code 1 says that at least one of the files is open by nobody
    const { code, stdout } = await this.#run('lsof', ['-w', '-F', 'pcfaDiln', '--', ...paths]);
    if (code > 1) throw new ProbeError(`lsof ended with ${code}`);
    return parseLsof(stdout, paths).filter(({ pid }) => pid !== this.#own);
  }

  async process(pid: number): Promise<RunningProcess | undefined> {
    const { code, stdout } = await this.#run('ps', ['-o', 'lstart=,comm=', '-p', String(pid)]);
    return code === 0 ? parsePs(stdout) : undefined;
  }

  runs(): undefined {
    return undefined;
  }
}

/**
 * The output of `lsof -F pcfaDiln`: one field a line, its kind in the first character; `p` begins a process, `f` a file.
 * A file is known by device and inode, since `n` may show another path of it.
 */
export function parseLsof(output: string, paths: readonly string[]): Holder[] {
  const identities = new Map(paths.flatMap((path) => identity(path).map((id) => [id, path] as const)));
  const known = new Set(paths);
  const found = new Map<string, Holder>();
  let process: Record<string, string> = {};
  let file: Record<string, string> = {};
  const finish = (): void => {
    const named = file['n'] ?? '';
    const path = known.has(named) ? named : identities.get(`${Number(file['D'])}:${file['i']}`);
    const pid = Number(process['p']);
    if (path === undefined || !Number.isInteger(pid)) return;
    const how = (file['l'] ?? ' ') === ' ' ? 'process' : 'lock';
    const holder = { path, how, pid, program: programName(process['c'] ?? '') } as const;
    if (found.get(`${pid}:${path}`)?.how !== 'process') found.set(`${pid}:${path}`, holder);
  };
  for (const line of output.split('\n')) {
    const kind = line.slice(0, 1);
    if (kind === 'p' || kind === 'f') finish();
    if (kind === 'p') process = {};
    if (kind === 'p' || kind === 'f') file = {};
    if (kind === 'p' || kind === 'c') process[kind] = line.slice(1);
    else if (kind !== '') file[kind] = line.slice(1);
  }
  finish();
  return [...found.values()];
}

function identity(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? [`${stat.dev}:${stat.ino}`] : [];
}

/** `Tue Nov 24 09:12:33 2026     /Applications/Cresus.app/Contents/MacOS/Cresus`: 24 characters of time, then the program. */
function parsePs(output: string): RunningProcess | undefined {
  const line = output.trim();
  if (line === '') return undefined;
  const startedAt = Date.parse(line.slice(0, 24));
  return { program: programName(line.slice(24)), ...(Number.isNaN(startedAt) ? {} : { startedAt }) };
}
