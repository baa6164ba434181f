import { expect, test } from '@jest/globals';
import { Pacer } from './pacer.ts';

/** A clock that passes only while the pacer sleeps. */
function paced(limit: (now: number) => number | undefined): { pacer: Pacer; now: () => number } {
  let now = 1_000_000;
  const sleep = async (ms: number): Promise<void> => {
    now += ms;
  };
  return { pacer: new Pacer({ limit: () => limit(now), now: () => now, sleep }), now: () => now };
}

async function send(pacer: Pacer, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; ) {
    const piece = Math.min(left, pacer.pieceBytes(256 * 1024));
    await pacer.take(piece);
    left -= piece;
  }
}

test.each([[16_000], [100_000], [500_000], [5_000_000]])(
  '%d bytes a second is the rate, within a twentieth',
  async (limit) => {
    const { pacer, now } = paced(() => limit);
    const start = now();
    await send(pacer, limit * 60);
    const seconds = (now() - start) / 1000;
    expect(seconds).toBeGreaterThan(60 * 0.95);
    expect(seconds).toBeLessThan(60 * 1.05);
  },
);

test('three uploads share the rate, and none starves', async () => {
  const { pacer, now } = paced(() => 90_000);
  const start = now();
  const done: number[] = [];
  await Promise.all(
    [0, 1, 2].map(async () => {
      await send(pacer, 900_000);
      done.push(now());
    }),
  );
  const seconds = (now() - start) / 1000;
  expect(seconds).toBeGreaterThan(28);
  expect(seconds).toBeLessThan(32);
  expect(Math.min(...done) - start).toBeGreaterThan((now() - start) * 0.9);
});

test('outside the hours nothing waits, and at their end nothing goes on waiting', async () => {
  const { pacer, now } = paced((time) => (time < 1_010_000 ? 20_000 : undefined));
  const start = now();
  await send(pacer, 100_000_000);
  const seconds = (now() - start) / 1000;
  expect(seconds).toBeGreaterThanOrEqual(10);
  expect(seconds).toBeLessThan(11.1);
});

test('when the hours begin, what was not used before does not count', async () => {
  const { pacer, now } = paced((time) => (time < 1_060_000 ? undefined : 50_000));
  await send(pacer, 1_000_000);
  const { pacer: later, now: laterNow } = paced(() => 50_000);
  const start = laterNow();
  await send(later, 500_000);
  expect((laterNow() - start) / 1000).toBeGreaterThan(9);
  expect(now()).toBe(1_000_000);
});

test('a piece larger than the bucket is paid for by who comes next', async () => {
  const { pacer, now } = paced(() => 10_000);
  const start = now();
  await pacer.take(100_000);
  await pacer.take(1);
  expect((now() - start) / 1000).toBeGreaterThan(9.9);
});

test('who gives up waiting throws, and does not stop those behind', async () => {
  const stop = new AbortController();
  const { pacer } = paced(() => 10_000);
  stop.abort(new Error('stopped'));
  const given = pacer.take(10_000, stop.signal);
  const next = pacer.take(10_000);
  await expect(given).rejects.toThrow('stopped');
  await expect(next).resolves.toBeUndefined();
});

test('pieces are small where the rate is, so that the line never stands still for long', () => {
  expect(paced(() => 16_000).pacer.pieceBytes(262_144)).toBe(4096);
  expect(paced(() => 800_000).pacer.pieceBytes(262_144)).toBe(100_000);
  expect(paced(() => undefined).pacer.pieceBytes(262_144)).toBe(262_144);
});

test('what it may take is told, so that patience does not end while the limit holds a pack up', async () => {
  const { pacer, now } = paced(() => 100_000);
  const start = now();
  await Promise.all([0, 1, 2].map(() => send(pacer, 16_000_000)));
  expect(now() - start).toBeLessThanOrEqual(pacer.expectedMs(16_000_000));
  expect(paced(() => undefined).pacer.expectedMs(16_000_000)).toBe(0);
});
