import { StringDecoder } from 'node:string_decoder';
import { AgentError } from '../errors.ts';
import type { Sink } from './output.ts';

/** A keyboard: the part of `process.stdin` that a prompt needs. */
export interface Keyboard {
  readonly isTTY?: boolean | undefined;
  setRawMode?(raw: boolean): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  off(event: 'data', listener: (chunk: Buffer) => void): unknown;
  off(event: 'end', listener: () => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

const ENTER = /[\r\n]/;
const ESCAPE = '\u001b';
/** What follows Escape when an arrow or function key is pressed. */
const SEQUENCE = /^(\[[0-9;?]*[ -/]*[@-~]|O.|.)?/s;

/** Asks questions on the terminal (stderr, so that stdout stays the result's). */
export class Prompt {
  readonly #keyboard: Keyboard;
  readonly #screen: Sink;
  /** Keys typed ahead of the next question. */
  #ahead = '';

  constructor(keyboard: Keyboard = process.stdin, screen: Sink = process.stderr) {
    this.#keyboard = keyboard;
    this.#screen = screen;
  }

  /** True when somebody can answer. */
  get interactive(): boolean {
    return this.#keyboard.isTTY === true;
  }

  /** Asks without showing what is typed. @throws AgentError `interrupted` on Ctrl-C or Ctrl-D */
  async secret(question: string): Promise<string> {
    return this.#ask(question, false);
  }

  /** Asks for one line, shown while typed. @throws AgentError `interrupted` */
  async line(question: string): Promise<string> {
    return (await this.#ask(question, true)).trim();
  }

  /** Asks yes or no; only one of `yes` (its letter in the language of the run) agrees. */
  async agree(question: string, yes: readonly string[]): Promise<boolean> {
    const answer = (await this.line(question)).toLowerCase();
    return answer !== '' && yes.some((word) => word.startsWith(answer));
  }

  async #ask(question: string, echo: boolean): Promise<string> {
    // raw first: whoever answers as soon as the question stands there must not see it echoed
    this.#keyboard.setRawMode?.(true);
    this.#screen.write(question);
    try {
      return await this.#read(echo);
    } finally {
      this.#keyboard.setRawMode?.(false);
      this.#keyboard.pause();
      this.#screen.write('\n');
    }
  }

  #read(echo: boolean): Promise<string> {
    const decoder = new StringDecoder('utf8');
    const line = new Line(echo ? this.#screen : undefined);
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#keyboard.off('data', take);
        this.#keyboard.off('end', end);
      };
      const take = (chunk: Buffer | string): void => {
        const outcome = line.type(this.#ahead + (typeof chunk === 'string' ? chunk : decoder.write(chunk)));
        this.#ahead = outcome.rest;
        if (outcome.state === 'open') return;
        stop();
        if (outcome.state === 'done') resolve(line.text);
        else reject(interrupted());
      };
      const end = (): void => {
        stop();
        reject(interrupted());
      };
      this.#keyboard.on('data', take);
      this.#keyboard.on('end', end);
      this.#keyboard.resume();
      if (this.#ahead !== '') take('');
    });
  }
}

function interrupted(): AgentError {
  return new AgentError('interrupted', 'the question was not answered');
}

/** One line being typed in raw mode: backspace, Ctrl-U, Enter, Ctrl-C and Ctrl-D; other control keys do nothing. */
class Line {
  readonly #screen: Sink | undefined;
  #points: string[] = [];

  constructor(screen: Sink | undefined) {
    this.#screen = screen;
  }

  get text(): string {
    return this.#points.join('');
  }

  /** Takes what was typed; `rest` was typed after the line ended. */
  type(keys: string): { state: 'open' | 'done' | 'cancelled'; rest: string } {
    let rest = keys;
    while (rest !== '') {
      const key = firstKey(rest);
      rest = rest.slice(key.length);
      if (ENTER.test(key)) return { state: 'done', rest: key === '\r' ? rest.replace(/^\n/, '') : rest };
      if (key === '\u0003' || (key === '\u0004' && this.#points.length === 0)) return { state: 'cancelled', rest };
      this.#edit(key);
    }
    return { state: 'open', rest: '' };
  }

  #edit(key: string): void {
    if (key === '\u007f' || key === '\b') this.#erase(1);
    else if (key === '\u0015') this.#erase(this.#points.length);
    else if (!/^\p{Cc}/u.test(key)) {
      this.#points.push(key);
      this.#screen?.write(key);
    }
  }

  #erase(count: number): void {
    const gone = this.#points.splice(Math.max(0, this.#points.length - count));
    this.#screen?.write('\b \b'.repeat(gone.length));
  }
}

function firstKey(keys: string): string {
  if (keys.startsWith(ESCAPE)) return ESCAPE + (SEQUENCE.exec(keys.slice(1))?.[0] ?? '');
  return String.fromCodePoint(keys.codePointAt(0) ?? 0);
}
