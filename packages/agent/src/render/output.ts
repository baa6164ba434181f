import type { AgentError } from '../errors.ts';
import type { Texts } from './i18n.ts';
import { brief } from './text.ts';

/** The three ways in which a run may speak. */
export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly progress: boolean;
}

/** A stream that text is written to, and whether a person sees it. */
export interface Sink {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** What a command gives back: facts for scripts, lines for people, and an exit code other than 0 when only part was done. */
export interface Outcome {
  readonly json: Readonly<Record<string, unknown>>;
  readonly lines: readonly string[];
  readonly exitCode?: number;
}

/**
 * Where a run speaks. People: results on stdout, everything else on stderr. Scripts (`--json`): exactly one document
 * on stdout, and on stderr one JSON object a line.
 */
export class Output {
  readonly options: OutputOptions;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly #warnings: string[] = [];

  constructor(options: OutputOptions, stdout: Sink = process.stdout, stderr: Sink = process.stderr) {
    this.options = options;
    this.stdout = stdout;
    this.stderr = stderr;
  }

  /** The result of the command; the only writer of stdout. */
  result(outcome: Outcome): void {
    if (this.options.json) this.stdout.write(`${JSON.stringify(outcome.json)}\n`);
    else if (outcome.lines.length > 0) this.stdout.write(`${outcome.lines.join('\n')}\n`);
  }

  /** Something worth knowing on the way; silent with `--quiet`. */
  say(text: string): void {
    if (this.options.quiet) return;
    if (this.options.json) this.event({ event: 'note', message: text });
    else this.stderr.write(`${text}\n`);
  }

  /** Something the user should act upon; said once, also with `--quiet`. */
  warn(code: string, text: string): void {
    if (this.#warnings.includes(code + text)) return;
    this.#warnings.push(code + text);
    if (this.options.json) this.event({ event: 'warning', code, message: text });
    else this.stderr.write(`⚠ ${text}\n`);
  }

  /** One JSON object on a line of stderr; only with `--json`. */
  event(facts: Readonly<Record<string, unknown>>): void {
    if (this.options.json && !this.options.quiet) this.stderr.write(`${JSON.stringify(facts)}\n`);
  }

  /** Why the command failed, and the way out. */
  failure(error: AgentError, texts: Texts): void {
    const { message, hint } = explain(error, texts);
    if (this.options.json) {
      const body = { code: error.kind, message, hint: hint ?? null, details: error.details };
      this.stdout.write(`${JSON.stringify({ error: body })}\n`);
      return;
    }
    this.stderr.write(`✗ ${message}\n`);
    if (hint) this.stderr.write(`  → ${hint}\n`);
    this.stderr.write(`  (${texts('failure.code', { code: error.kind })})\n`);
  }
}

/** Message and way out of an error in the language of the run. Texts from outside were escaped in its parameters. */
export function explain(error: AgentError, texts: Texts): { message: string; hint: string | undefined } {
  const params = safeParams(error.params);
  const message =
    texts.find(error.key, params) ?? texts.find(`error.${error.kind}`, params) ?? escapeLine(error.message);
  return { message, hint: hintOf(error, texts, params) };
}

/** The way out that the error names; where it names none, the one of its own message goes before that of its kind. */
function hintOf(error: AgentError, texts: Texts, params: Record<string, string | number>): string | undefined {
  const isDefault = error.hint === `hint.${error.kind}`;
  const own = isDefault ? texts.find(error.key.replace(/^error\./, 'hint.'), params) : undefined;
  return own ?? texts.find(error.hint, params);
}

function safeParams(params: Readonly<Record<string, string | number>>): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(params).map(([key, value]) => [key, typeof value === 'string' ? escapeLine(value) : value]),
  );
}

/** Errors quote what others sent (a server's words, a file's name): escaped and cut, so that a message stays one (MS-41). */
function escapeLine(text: string): string {
  return brief(text, 400);
}
