import type { Home } from '../local/home.ts';
import type { Texts } from '../render/i18n.ts';
import type { Output } from '../render/output.ts';
import type { Prompt } from '../render/prompt.ts';

/** What every command gets: where it works, how it speaks, and when it must stop. */
export interface Context {
  readonly home: Home;
  readonly texts: Texts;
  readonly output: Output;
  readonly prompt: Prompt;
  readonly env: NodeJS.ProcessEnv;
  /** `--secret-file`. */
  readonly secretFile: string | undefined;
  /** `--yes`: agrees to questions, except to the acceptance of a replacement. */
  readonly yes: boolean;
  readonly version: string;
  readonly now: () => number;
  /** Bytes a second that may be sent now; undefined (or giving undefined): as many as the line takes. */
  readonly uploadLimit?: (() => number | undefined) | undefined;
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** From now on `handler` gets Ctrl-C and SIGTERM, and nothing is aborted, until what is returned is called. */
  readonly divertSignals?: ((handler: (signal: NodeJS.Signals) => void) => () => void) | undefined;
}
