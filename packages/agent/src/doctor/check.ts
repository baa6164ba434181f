import type { AgentErrorKind } from '../errors.ts';
import { EXIT_CODES } from '../errors.ts';

/** How one thing that the agent needs is: `warn` works, `bad` does not. */
export type CheckState = 'ok' | 'warn' | 'bad';

/** One line of the doctor: `id` for scripts, `message` and the way out in the language of the run. Never a secret. */
export interface Check {
  readonly id: string;
  readonly state: CheckState;
  readonly message: string;
  readonly hint?: string | undefined;
  /** What `bad` means for scripts. */
  readonly kind?: AgentErrorKind;
}

/** From the gravest: what says that data or history is not what it was, then what keeps from saving, then the rest. */
const GRAVITY: readonly number[] = [10, 11, 12, 13, 15, 14, 9, 5, 6, 4, 7, 2, 1];

/** 0 when nothing is bad, else the exit code of the gravest. */
export function worstCode(checks: readonly Check[]): number {
  const codes = new Set(
    checks.flatMap(({ state, kind }) => (state === 'bad' ? [EXIT_CODES[kind ?? 'unexpected']] : [])),
  );
  const grave = GRAVITY.find((code) => codes.has(code as never));
  return grave ?? codes.values().next().value ?? 0;
}
