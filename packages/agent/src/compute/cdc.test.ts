import { createHash } from 'node:crypto';
import { cutChunks, paramsOfClass } from '@cresus-safe/protocol';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Arena, blockPlace, createMemory } from './arena.ts';
import { createCut } from './cdc.ts';

const memory = createMemory();
const arena = new Arena(memory);
const cut = createCut(memory);

function gearOf(seed: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, i) =>
    createHash('sha256').update(`${seed}/${i}`).digest().readUInt32BE(0),
  );
}

function bytesOf(seed: number, length: number, alphabet: number): Uint8Array {
  let state = seed | 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 24) % alphabet;
  });
}

function wasmCuts(data: Uint8Array, sizeClass: number): number[] {
  const place = blockPlace(1);
  arena.bytes(place.data, data.length).set(data);
  const count = cut(place.data, data.length, paramsOfClass(sizeClass), place.lengths);
  return Array.from(arena.u32(place.lengths, count));
}

describe('the chunker in WebAssembly', () => {
  it('cuts where the reference cuts', () => {
    const cases = fc.record({
      seed: fc.nat(),
      length: fc.integer({ min: 0, max: 300_000 }),
      alphabet: fc.constantFrom(1, 2, 16, 256),
      sizeClass: fc.integer({ min: 0, max: 4 }),
    });
    fc.assert(
      fc.property(cases, ({ seed, length, alphabet, sizeClass }) => {
        const gear = gearOf(seed % 7);
        const data = bytesOf(seed, length, alphabet);
        arena.setGear(gear);
        expect(wasmCuts(data, sizeClass)).toEqual(cutChunks(data, gear, paramsOfClass(sizeClass)));
      }),
      { numRuns: 60 },
    );
  });

  it('cuts a whole block of 4 MiB, and lengths around every border, where the reference cuts', () => {
    const gear = gearOf(3);
    arena.setGear(gear);
    const data = bytesOf(5, 4 * 1024 * 1024, 256);
    for (const length of [1, 1023, 1024, 1025, 1027, 4095, 4096, 4097, 32_767, 32_768, 32_769, data.length]) {
      const part = data.subarray(0, length);
      expect(wasmCuts(part, 0)).toEqual(cutChunks(part, gear, paramsOfClass(0)));
    }
  });
});
