import type { Argv } from 'yargs';
import { AgentError } from '../../errors.ts';
import type { TextKey, Texts } from '../../render/i18n.ts';
import type { Outcome } from '../../render/output.ts';
import type { Context } from '../context.ts';

/** What the grammar of one command needs: the texts of its help, the run's context, and where its outcome goes. */
export interface Grammar {
  readonly texts: Texts;
  readonly context: Context;
  /** What stood after `--` of a command that runs a program. */
  readonly program: readonly string[];
  finish(outcome: Outcome): void;
}

interface TextOption {
  readonly type: 'string';
  readonly describe: string;
  readonly coerce: (given: unknown) => string | undefined;
}

/** An option with a value, given once: a repeated one is a mistake, not a list. */
export function value(describe: string): TextOption & { readonly requiresArg: true } {
  return { type: 'string', requiresArg: true, describe, coerce: single };
}

/** A positional argument: one text. */
export function operand(describe: string): TextOption {
  return { type: 'string', describe, coerce: single };
}

/** A switch. */
export function flag(describe: string): { readonly type: 'boolean'; readonly describe: string } {
  return { type: 'boolean', describe };
}

function single(given: unknown): string | undefined {
  if (given === undefined || typeof given === 'string') return given;
  throw new AgentError('usage', 'an option was given twice', { key: 'error.twice' });
}

/** The exit codes that a command may give; each has a text in the locales. */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15 | 16 | 130;

/** Codes of every command that talks to the Safe with an open vault. */
export const VAULT_CODES = [4, 9, 10, 11, 12, 13] as const;

/** The end of each command's help: one example, and the exit codes that it may give besides 0, 1, 2, 15, 16 and 130. */
export function closing<T>(argv: Argv<T>, texts: Texts, example: string, codes: readonly ExitCode[] = []): Argv<T> {
  const all = [...new Set<ExitCode>([0, 1, 2, ...codes, 15, 16, 130])].sort((a, b) => a - b);
  const lines = all.map((code) => `  ${String(code).padStart(3)}  ${texts(`exit.${code}` satisfies TextKey)}`);
  return argv.epilogue([texts('help.example'), `  ${example}`, '', texts('help.exit-codes'), ...lines].join('\n'));
}
