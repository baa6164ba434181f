import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import { AgentError } from '../errors.ts';
import { homeAt } from '../local/home.ts';
import { loadTexts } from '../render/i18n.ts';
import { Output } from '../render/output.ts';
import { Prompt } from '../render/prompt.ts';
import type { HttpRemote } from '../vault/http-remote.ts';
import type { Context } from './context.ts';
import { Elevation } from './elevation.ts';

/** A server that wants an elevation, and takes one code; `typed` is what a person types, undefined without a terminal. */
async function scene(typed: string | undefined, given?: string, mails = true) {
  let granted = false;
  const calls: string[] = [];
  const remote = {
    mailElevation: async () => {
      calls.push('mail');
      if (!mails) throw new AgentError('unreachable', 'no mail here');
    },
    elevate: async (code: string) => {
      calls.push(code);
      if (code !== 'GOOD') throw new AgentError('code-refused', 'refused', { key: 'error.elevation-refused' });
      granted = true;
    },
  } as unknown as HttpRemote;
  let said = '';
  const sink = { write: (text: string) => (said += text) };
  const keyboard = Object.assign(new PassThrough(), { isTTY: typed !== undefined });
  const context: Context = {
    home: homeAt('/nowhere'),
    texts: await loadTexts('fr'),
    output: new Output({ json: false, quiet: false, progress: false }, sink, sink),
    prompt: new Prompt(keyboard, sink),
    env: {},
    secretFile: undefined,
    yes: false,
    version: '1',
    now: () => 0,
    signal: new AbortController().signal,
  };
  keyboard.write(typed ?? '');
  const elevation = new Elevation(context, remote, given);
  const act = async (): Promise<string> => {
    if (!granted) throw new AgentError('elevation-required', '403');
    return 'done';
  };
  return { elevation, act, calls, said: () => said };
}

test('a code is mailed and asked for when the server wants one, and a wrong one may be typed again', async () => {
  const { elevation, act, calls, said } = await scene('WRONG\rGOOD\r');
  expect(await elevation.run(act)).toBe('done');
  expect(await elevation.run(act)).toBe('done');
  expect(calls).toEqual(['mail', 'WRONG', 'GOOD']);
  expect(said()).toContain('Le code est refusé');
});

test('after three wrong codes it gives up; an empty answer does so at once', async () => {
  const wrong = await scene('A\rB\rC\r');
  await expect(wrong.elevation.run(wrong.act)).rejects.toMatchObject({ kind: 'code-refused' });
  expect(wrong.calls).toEqual(['mail', 'A', 'B', 'C']);
  const none = await scene('\r');
  await expect(none.elevation.run(none.act)).rejects.toMatchObject({ kind: 'elevation-required' });
});

test('without a terminal the error says where the code comes from', async () => {
  const mailed = await scene(undefined);
  await expect(mailed.elevation.run(mailed.act)).rejects.toMatchObject({
    kind: 'elevation-required',
    exitCode: 9,
    hint: 'hint.elevation-mailed',
    details: { mailed: true },
  });
  const silent = await scene(undefined, undefined, false);
  await expect(silent.elevation.run(silent.act)).rejects.toMatchObject({ hint: 'hint.elevation-required' });
});

test('a code given with the command is used once, and nothing is mailed', async () => {
  const { elevation, act, calls } = await scene(undefined, 'GOOD');
  expect(await elevation.run(act)).toBe('done');
  expect(await elevation.run(act)).toBe('done');
  expect(calls).toEqual(['GOOD']);
  const bad = await scene(undefined, 'BAD');
  await expect(bad.elevation.run(bad.act)).rejects.toMatchObject({ kind: 'code-refused' });
});
