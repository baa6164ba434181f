import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** A clock that programs under test go by, so that years pass in an instant. */
export class Clock {
  readonly #file: string;
  #ahead = 0;

  constructor(file: string) {
    this.#file = file;
    this.goTo(Date.now());
  }

  /** The environment of programs that go by this clock. */
  get env(): Record<string, string> {
    const preload = pathToFileURL(join(import.meta.dirname, 'clock.mjs')).href;
    return { TEST_CLOCK: this.#file, NODE_OPTIONS: `--import=${preload}` };
  }

  get now(): number {
    return Date.now() + this.#ahead;
  }

  /** It is now `time` (ms since 1970); the clock goes on from there. */
  goTo(time: number): void {
    this.#ahead = time - Date.now();
    writeFileSync(`${this.#file}.new`, String(this.#ahead)); // never half a number for who reads meanwhile
    renameSync(`${this.#file}.new`, this.#file);
  }

  advance(ms: number): void {
    this.goTo(this.now + ms);
  }
}
