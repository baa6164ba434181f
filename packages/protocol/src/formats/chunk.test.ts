import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { chunkId, chunkParams, cutChunks, cutFile, PIECE_BYTES, paramsOfClass } from './chunk.ts';

const gear = Uint32Array.from({ length: 256 }, (_, i) =>
  createHash('sha256').update(String(i)).digest().readUInt32BE(0),
);
const params = paramsOfClass(0);

function bytesOf(seed: number, length: number): Uint8Array {
  let state = seed | 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 24;
  });
}

function idsOf(data: Uint8Array, lengths: readonly number[]): Set<string> {
  let at = 0;
  return new Set(
    lengths.map((length) => {
      at += length;
      return createHash('sha256')
        .update(data.subarray(at - length, at))
        .digest('hex');
    }),
  );
}

describe('the chunker', () => {
  it('gives the whole input back, within its bounds, at every size class', () => {
    const any = fc.record({
      seed: fc.nat(),
      length: fc.integer({ min: 0, max: 400_000 }),
      sizeClass: fc.integer({ min: 0, max: 4 }),
    });
    fc.assert(
      fc.property(any, ({ seed, length, sizeClass }) => {
        const { min, max } = paramsOfClass(sizeClass);
        const lengths = cutChunks(bytesOf(seed, length), gear, paramsOfClass(sizeClass));
        expect(lengths.reduce((a, b) => a + b, 0)).toBe(length);
        expect(lengths.every((one) => one > 0 && one <= max)).toBe(true);
        expect(lengths.slice(0, -1).every((one) => one > min)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('cuts where an average says, more or less', () => {
    const lengths = cutChunks(bytesOf(1, PIECE_BYTES), gear, params);
    const mean = PIECE_BYTES / lengths.length;
    expect(mean).toBeGreaterThan(3000);
    expect(mean).toBeLessThan(6500);
  });

  it('changes at most 3 chunks when one byte is inserted into 4 MiB', () => {
    const data = bytesOf(9, PIECE_BYTES - 1);
    const before = idsOf(data, cutChunks(data, gear, params));
    for (const at of [0, 1000, 77_777, 2_000_000, data.length - 5]) {
      const longer = new Uint8Array(data.length + 1);
      longer.set(data.subarray(0, at));
      longer[at] = 0x5a;
      longer.set(data.subarray(at), at + 1);
      const after = idsOf(longer, cutChunks(longer, gear, params));
      expect([...after].filter((id) => !before.has(id)).length).toBeLessThanOrEqual(3);
    }
  });

  it('cuts at every multiple of 4 MiB, so pieces may be cut apart from each other', () => {
    const data = bytesOf(4, PIECE_BYTES + 500_000);
    const whole = cutChunks(data, gear, params);
    const apart = [
      ...cutChunks(data.subarray(0, PIECE_BYTES), gear, params),
      ...cutChunks(data.subarray(PIECE_BYTES), gear, params),
    ];
    expect(whole).toEqual(apart);
  });

  it('keeps files of 16 KiB whole', () => {
    expect(cutFile(bytesOf(1, 16_384), gear, params)).toEqual([16_384]);
    expect(cutFile(bytesOf(1, 16_385), gear, params).length).toBeGreaterThan(1);
    expect(cutFile(new Uint8Array(0), gear, params)).toEqual([]);
  });
});

describe('size classes', () => {
  const GIB = 1024 ** 3;
  it.each([
    [1, undefined, 0],
    [GIB, undefined, 0],
    [GIB + 1, undefined, 1],
    [2 * GIB, undefined, 1],
    [2 * GIB + 1, undefined, 2],
    [9 * GIB, undefined, 4],
    [5000 * GIB, undefined, 4],
    [GIB + 1, 0, 0],
    [2 * GIB, 0, 0],
    [2 * GIB + 1, 0, 2],
    [GIB, 1, 1],
    [GIB / 2 + 1, 1, 1],
    [GIB / 2, 1, 0],
    [5000 * GIB, 4, 4],
    [4 * GIB, 4, 2],
  ])('a file of %d bytes that had class %p gets %d', (size, previous, expected) => {
    expect(chunkParams(size, previous).sizeClass).toBe(expected);
  });
});

describe('chunk ids', () => {
  it('differ by key and by class: what a stranger sends in cannot probe the books', () => {
    const data = bytesOf(1, 100);
    const id = (key: number, contentClass: 1 | 2 | 3): string =>
      Buffer.from(chunkId(new Uint8Array(32).fill(key), contentClass, data)).toString('hex');
    expect(new Set([id(1, 1), id(1, 2), id(1, 3), id(2, 1)]).size).toBe(4);
    expect(id(1, 1)).toHaveLength(32);
  });
});
