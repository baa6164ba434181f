import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import { Prompt } from './prompt.ts';

class Terminal {
  readonly keys = new PassThrough();
  readonly raw: boolean[] = [];
  shown = '';
  readonly prompt: Prompt;

  constructor() {
    const keyboard = Object.assign(this.keys, { isTTY: true, setRawMode: (raw: boolean) => this.raw.push(raw) });
    this.prompt = new Prompt(keyboard, { isTTY: true, write: (text: string) => (this.shown += text) });
  }
}

test('a secret is never shown, and raw mode ends with it', async () => {
  const terminal = new Terminal();
  const answer = terminal.prompt.secret('Clé : ');
  terminal.keys.write('pom\u007fmme');
  terminal.keys.write(' de terre\r');
  expect(await answer).toBe('pomme de terre');
  expect(terminal.shown).toBe('Clé : \n');
  expect(terminal.raw).toEqual([true, false]);
});

test('a line is shown; arrows and other control keys do nothing; Ctrl-U begins anew', async () => {
  const terminal = new Terminal();
  const answer = terminal.prompt.line('? ');
  terminal.keys.write('faux\u0015\u001b[A\u0001 vrai\u001b[3~ \n');
  expect(await answer).toBe('vrai');
});

test('a character may come in two pieces', async () => {
  const terminal = new Terminal();
  const answer = terminal.prompt.secret('? ');
  const bytes = Buffer.from('é😀\r');
  terminal.keys.write(bytes.subarray(0, 1));
  await new Promise(setImmediate);
  terminal.keys.write(bytes.subarray(1, 4));
  await new Promise(setImmediate);
  terminal.keys.write(bytes.subarray(4));
  expect(await answer).toBe('é😀');
});

test('what is typed ahead answers the next question', async () => {
  const terminal = new Terminal();
  const first = terminal.prompt.secret('1 ');
  terminal.keys.write('un\rdeux\r');
  expect([await first, await terminal.prompt.secret('2 ')]).toEqual(['un', 'deux']);
});

test.each([
  ['Ctrl-C', 'abc\u0003'],
  ['Ctrl-D on an empty line', '\u0004'],
])('%s is an interruption', async (_, keys) => {
  const terminal = new Terminal();
  const answer = terminal.prompt.secret('? ');
  terminal.keys.write(keys);
  await expect(answer).rejects.toMatchObject({ kind: 'interrupted', exitCode: 130 });
  expect(terminal.raw).toEqual([true, false]);
});

test('a closed keyboard is an interruption', async () => {
  const terminal = new Terminal();
  const answer = terminal.prompt.line('? ');
  terminal.keys.end();
  await expect(answer).rejects.toMatchObject({ kind: 'interrupted' });
});

test.each([
  ['o', true],
  ['OUI', true],
  ['n', false],
  ['', false],
  ['ouida', false],
])('%j agrees: %s', async (typed, agrees) => {
  const terminal = new Terminal();
  const answer = terminal.prompt.agree('? ', ['oui']);
  terminal.keys.write(`${typed}\r`);
  expect(await answer).toBe(agrees);
});
