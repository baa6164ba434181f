import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { AgentError } from '../errors.ts';

/** How a program ended; exactly one of the two is set. */
export interface ProgramEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunOptions {
  /** The program and its arguments, as they are: no shell reads them. */
  readonly command: readonly string[];
  /** Where what it prints on its standard output goes; the rest it shares with us. */
  readonly stdout: 'inherit' | 'stderr';
  /** The terminal gives Ctrl-C to the program itself; without one it must be passed on. */
  readonly onTerminal: boolean;
  /** Takes our signals while the program runs; gives back how to stop that. */
  readonly divertSignals: (handler: (signal: NodeJS.Signals) => void) => () => void;
}

/**
 * Runs a program on our terminal to its end. SIGTERM and SIGHUP are passed on to it.
 * @throws AgentError `not-found`, `permission` when it cannot be started
 */
export async function runProgram(options: RunOptions): Promise<ProgramEnd> {
  const { command, stdout, onTerminal, divertSignals } = options;
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['inherit', stdout === 'inherit' ? 'inherit' : 2, 'inherit'] });
  const passOn = (signal: NodeJS.Signals): void => {
    if (signal !== 'SIGINT' || !onTerminal) child.kill(signal);
  };
  const restore = divertSignals(passOn);
  outliveTerminal();
  process.on('SIGHUP', passOn);
  try {
    return await new Promise<ProgramEnd>((resolve, reject) => {
      child.once('error', (error) => reject(notStarted(program, error)));
      child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    });
  } finally {
    restore();
    process.off('SIGHUP', passOn);
  }
}

/** Whoever closes the window ends the program, and wants the point all the same. For the rest of this process. */
function outliveTerminal(): void {
  const nobodyReads = (): void => undefined;
  process.on('SIGHUP', nobodyReads);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', nobodyReads);
}

function notStarted(program: string, error: NodeJS.ErrnoException): AgentError {
  const isMissing = error.code === 'ENOENT';
  return new AgentError(isMissing ? 'not-found' : 'permission', `${program} was not started: ${error.message}`, {
    key: isMissing ? 'error.program-missing' : 'error.program-refused',
    hint: 'hint.program-missing',
    params: { program, reason: error.code ?? error.message },
    details: { program },
    cause: error,
  });
}

/** The exit code that a shell gives for such an end: the program's own, or 128 and the number of the signal. */
export function shellCode({ exitCode, signal }: ProgramEnd): number {
  return exitCode ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
