import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ProtocolError } from '../errors.ts';
import { decodeText, encodeText } from './bytes.ts';
import { fromHex, toHex } from './hex.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

const refusal = (defect: string) =>
  expect.objectContaining({ kind: 'format', message: expect.stringContaining(defect) });
const thrown = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('Writer and Reader', () => {
  const piece = fc.oneof(
    fc.record({ type: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 0xff }) }),
    fc.record({ type: fc.constant('u16' as const), value: fc.integer({ min: 0, max: 0xffff }) }),
    fc.record({ type: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 0xffffffff }) }),
    fc.record({ type: fc.constant('u64' as const), value: fc.maxSafeNat() }),
    fc.record({ type: fc.constant('lp16' as const), value: fc.uint8Array({ maxLength: 40 }) }),
  );

  test('what is written is read back, whatever room the writer began with', () => {
    fc.assert(
      fc.property(fc.array(piece), fc.integer({ min: 0, max: 9 }), (pieces, capacity) => {
        const writer = new Writer(capacity);
        for (const one of pieces)
          if (one.type === 'lp16') writer.lp16(one.value);
          else writer[one.type](one.value);
        const reader = new Reader(writer.finish(), 'sample');
        for (const one of pieces)
          expect(one.type === 'lp16' ? reader.lp16('x') : reader[one.type]('x')).toEqual(one.value);
        reader.end();
      }),
    );
  });

  test.each([
    ['a number over its width', () => new Writer().u8(256), 'not a whole number'],
    ['a negative number', () => new Writer().u32(-1), 'not a whole number'],
    ['a fraction', () => new Writer().u64(0.5), 'not a whole number'],
    ['2^53', () => new Writer().u64(2 ** 53), 'not a whole number'],
    ['a fixed field of another length', () => new Writer().fixed(new Uint8Array(3), 4), '3 bytes where 4 belong'],
    ['an unpaired surrogate', () => new Writer().text16('\ud800', 'name'), 'unpaired surrogate'],
    ['a NUL', () => new Writer().text16('a\0', 'name'), 'NUL'],
  ])('the writer refuses %s', (_, run, defect) => {
    expect(thrown(run)).toEqual(refusal(defect));
  });

  test.each([
    ['the end within a field', () => new Reader(fromHex('00'), 'x').u16('length'), 'x: ends within length'],
    ['2^53', () => new Reader(fromHex('0020000000000000'), 'x').u64('n'), 'n is over 2^53-1'],
    ['a length over the limit', () => new Reader(fromHex('000401020304'), 'x').lp16('f', 3), 'f is longer than 3'],
    ['bytes that are not UTF-8', () => new Reader(fromHex('0002c328'), 'x').text16('name'), 'not UTF-8'],
    ['an encoded surrogate', () => new Reader(fromHex('0003eda080'), 'x').text16('name'), 'not UTF-8'],
    ['an overlong form', () => new Reader(fromHex('0002c0af'), 'x').text16('name'), 'not UTF-8'],
    ['a NUL', () => new Reader(fromHex('000100'), 'x').text16('name'), 'NUL'],
    ['a reserved byte', () => new Reader(fromHex('01'), 'x').zero(1, 'reserved'), 'reserved is not zero'],
    ['what trails', () => new Reader(fromHex('01'), 'x').end(), '1 trailing bytes'],
  ])('the reader refuses %s', (_, run, defect) => {
    expect(thrown(run)).toEqual(refusal(defect));
  });

  test('a byte order mark stays part of the text: one encoding of each value', () => {
    const text = '\ufeffa';
    expect(decodeText(encodeText(text, 'x'), 'x')).toBe(text);
  });
});

describe('hex', () => {
  test('bytes → hex → bytes', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => expect(fromHex(toHex(bytes))).toEqual(bytes)));
  });

  test.each(['A0', '0', 'zz', '00 ', '0x00'])('refuses %j', (text) => {
    expect(() => fromHex(text)).toThrow(ProtocolError);
  });
});
