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
    this.#set(String(this.#ahead));
  }

  advance(ms: number): void {
    this.goTo(this.now + ms);
  }

  /** It is now `time`, and stays so until the clock is set again: for boundaries of a second on a slow machine. */
  freezeAt(time: number): void {
    this.#ahead = time - Date.now();
    this.#set(`=${time}`);
  }

  #set(text: string): void {
    writeFileSync(`${this.#file}.new`, text); // never half a number for who reads meanwhile
    renameSync(`${this.#file}.new`, this.#file);
  }
}
