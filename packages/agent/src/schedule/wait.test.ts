import { expect, test } from '@jest/globals';
import { AgentError } from '../errors.ts';
import { patiently } from './wait.ts';

const down = (): AgentError => new AgentError('unreachable', 'down');
const KINDS = new Set(['unreachable']);

function clock(): { now: () => number; sleep: (ms: number) => Promise<void>; slept: number[] } {
  let now = 0;
  const slept: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    slept.push(ms);
    now += ms;
  };
  return { now: () => now, sleep, slept };
}

const forever = new AbortController().signal;

test('waits twice as long each time, up to the longest, until it works', async () => {
  const time = clock();
  let tries = 0;
  const act = async (): Promise<string> => {
    tries += 1;
    if (tries < 6) throw down();
    return 'done';
  };
  const waiting = { kinds: KINDS, totalMs: 60_000, firstMs: 1000, longestMs: 4000, ...time };
  expect(await patiently(act, forever, waiting)).toBe('done');
  expect(time.slept).toEqual([1000, 2000, 4000, 4000, 4000]);
});

test('gives up with the last failure when the time is over, and not later', async () => {
  const time = clock();
  const waiting = { kinds: KINDS, totalMs: 10_000, firstMs: 1000, longestMs: 4000, ...time };
  await expect(patiently(() => Promise.reject(down()), forever, waiting)).rejects.toMatchObject({
    kind: 'unreachable',
  });
  expect(time.now()).toBe(10_000);
});

test('without time it tries once; what time does not heal is thrown at once', async () => {
  const time = clock();
  const waiting = { kinds: KINDS, totalMs: 0, firstMs: 1000, longestMs: 4000, ...time };
  await expect(patiently(() => Promise.reject(down()), forever, waiting)).rejects.toMatchObject({
    kind: 'unreachable',
  });
  const other = { ...waiting, totalMs: 10_000 };
  const wrong = new AgentError('wrong-secret', 'no');
  await expect(patiently(() => Promise.reject(wrong), forever, other)).rejects.toBe(wrong);
  expect(time.slept).toEqual([]);
});

test('an interruption ends the real wait', async () => {
  const stop = new AbortController();
  const waiting = { kinds: KINDS, totalMs: 60_000, firstMs: 30_000, longestMs: 30_000 };
  const waited = patiently(() => Promise.reject(down()), stop.signal, { ...waiting, waits: () => stop.abort() });
  await expect(waited).rejects.toMatchObject({ kind: 'interrupted' });
});
