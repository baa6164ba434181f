import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { toAgentError } from '../errors.ts';
import { homeAt } from '../local/home.ts';
import { LANGUAGES, loadTexts } from '../render/i18n.ts';
import { type Outcome, Output } from '../render/output.ts';
import { Prompt } from '../render/prompt.ts';
import type { Context } from './context.ts';
import { earlyValue, refuseLater, splitWords } from './later.ts';
import { runCommandLine } from './table.ts';

let folder: string;
let said: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'safe-commands-')));
  said = '';
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function contextOf(language: (typeof LANGUAGES)[number] = 'fr', json = false): Promise<Context> {
  const sink = { write: (text: string) => (said += text) };
  return {
    home: homeAt(join(folder, 'home')),
    texts: await loadTexts(language),
    output: new Output({ json, quiet: false, progress: true }, sink, sink),
    prompt: new Prompt(Object.assign(new PassThrough(), { isTTY: false }), sink),
    env: {},
    secretFile: undefined,
    yes: false,
    version: '1.2.3',
    now: () => Date.UTC(2026, 10, 24),
    signal: new AbortController().signal,
  };
}

async function run(...argv: string[]): Promise<Outcome | { kind: string; key: string; exitCode: number }> {
  try {
    return (await runCommandLine(argv, await contextOf())) ?? { json: {}, lines: [] };
  } catch (error) {
    const { kind, key, exitCode } = toAgentError(error);
    return { kind, key, exitCode };
  }
}

test.each([
  ['zork'],
  ['send', '--zork'],
  ['secret'],
  ['secret', 'zork'],
  ['mandate', 'add', 'x'],
  ['connect', '--server', 'https://x'],
  ['connect', '--server', 'https://x', '--code', 'a', '--code', 'b'],
  ['restore', 'x'],
  ['restore', 'x', '--snapshot', 'latest', '--to', 'a', '--as', 'b'],
  ['verify', '--sample', '5', '--full'],
  ['anchor', '--accept-history', '--without-anchor'],
  ['status', '--lang', 'es'],
  ['status', '--home'],
  ['forget'],
  ['unforget'],
  ['plan', 'set'],
  ['plan', 'set', '--all-days', '-1'],
  ['plan', 'set', '--weekly', 'x'],
  ['send', '--all', '--year-closed', '99'],
  ['send', '--all', '--year-closed', '2028'],
  ['devices', 'revoke'],
])('%s %s is a usage error (exit 2)', async (...argv) => {
  expect(await run(...argv.filter(Boolean))).toMatchObject({ kind: 'usage', exitCode: 2 });
});

test.each([['audit'], ['--home /tmp/x ui'], ['connect --server x --number 3']])(
  '%s belongs to a later version and says so',
  (line) => {
    const { words, flags } = splitWords(line.split(' '));
    expect(() => refuseLater(words, flags)).toThrow(expect.objectContaining({ kind: 'usage', key: 'error.not-yet' }));
  },
);

test.each([['secret forget'], ['send watch'], ['send Dupont -- --rotate'], ['mandate add ui --path point']])(
  '%s is not taken for one of those',
  (line) => {
    const { words, flags } = splitWords(line.split(' '));
    expect(refuseLater(words, flags)).toBeUndefined();
  },
);

test('a global flag is read before the line is parsed, the last one counts', () => {
  expect(earlyValue(['--home', '/a', 'x', '--home=/b'], '--home')).toBe('/b');
  expect(earlyValue(['send'], '--home')).toBeUndefined();
});

const COMMANDS = [
  'connect',
  'secret',
  'secret set',
  'secret change',
  'secret remember',
  'secret forget',
  'kit',
  'kit create',
  'kit use',
  'mandate',
  'mandate add',
  'mandate list',
  'mandate remove',
  'mandate root',
  'send',
  'snapshots',
  'show',
  'restore',
  'verify',
  'status',
  'devices',
  'devices revoke',
  'forget',
  'unforget',
  'plan',
  'plan set',
  'receipts',
  'receipts verify',
  'anchor',
  'schedule',
  'schedule set',
  'schedule show',
  'schedule off',
  'run-scheduled',
  'diff',
  'doctor',
  'drill',
];

test.each(LANGUAGES)(
  'every command has a help in %s with an example and its exit codes',
  async (language) => {
    const texts = await loadTexts(language);
    const log = jest.spyOn(console, 'log').mockImplementation(() => undefined);
    for (const command of COMMANDS) {
      log.mockClear();
      await runCommandLine([...command.split(' '), '--help'], await contextOf(language));
      const help = log.mock.calls.join('\n');
      expect(help).toContain(`${texts('help.example')}\n  cresus-safe ${command}`);
      expect(help).toContain(`    0  ${texts('exit.0')}`);
      expect(help).not.toMatch(/undefined|\{\{|(help|exit|global)\.[a-z]/);
    }
    log.mockRestore();
  },
  60_000,
);

test('without a connection, what needs one says how to begin, and status just tells', async () => {
  for (const line of ['devices', 'snapshots x', 'secret remember', 'anchor', 'verify', 'receipts'])
    expect(await run(...line.split(' '))).toMatchObject({ kind: 'usage', key: 'error.not-connected' });
  expect(await run('status')).toMatchObject({ json: { connected: false, warnings: [] } });
});

test('mandates are added, listed, sent by name only, and removed', async () => {
  const path = join(folder, 'Dupont');
  mkdirSync(path);
  writeFileSync(join(path, 'dupont.cre'), 'x');
  writeFileSync(join(path, 'extra.dat'), 'x');
  const added = await run('mandate', 'add', 'Dupont SA', '--path', path, '--module', 'extra.dat');
  expect(added).toMatchObject({
    json: {
      mandates: [{ name: 'Dupont SA', path, lastSnapshot: null, lastPoint: null, modules: [{ open: null }, {}] }],
    },
  });
  expect(await run('mandate', 'add', 'DUPONT sa', '--path', folder)).toMatchObject({ key: 'error.name-taken' });
  expect(await run('mandate', 'add', 'Autre', '--path', path)).toMatchObject({ kind: 'nested-mandate' });
  expect(await run('mandate', 'add', 'Autre', '--path', `${path}-none`)).toMatchObject({
    kind: 'path-missing',
    exitCode: 14,
  });
  expect(await run('mandate', 'list')).toMatchObject({
    lines: [expect.stringContaining('Comptabilité, Comptabilité')],
  });
  expect(await run('send')).toMatchObject({ key: 'error.no-mandate-given' });
  expect(await run('send', 'Dupont SA', '--all')).toMatchObject({ key: 'error.names-and-all' });
  expect(await run('send', 'Muster')).toMatchObject({ kind: 'not-found', exitCode: 14 });
  expect(await run('mandate', 'remove', 'dupont SA')).toMatchObject({ json: { removed: 'Dupont SA' } });
  expect(await run('mandate', 'remove', 'dupont SA')).toMatchObject({ kind: 'not-found' });
});

test('a module that is not directly in the folder is refused', async () => {
  const path = join(folder, 'Dupont');
  mkdirSync(join(path, 'sub'), { recursive: true });
  writeFileSync(join(path, 'sub', 'x.cre'), 'x');
  expect(await run('mandate', 'add', 'D', '--path', path, '--module', 'sub/x.cre')).toMatchObject({
    key: 'error.not-a-module',
  });
});
