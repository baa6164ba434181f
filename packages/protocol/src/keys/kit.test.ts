import { describe, expect, test } from '@jest/globals';
import { bech32m } from '@scure/base';
import fc from 'fast-check';
import { ProtocolError } from '../errors.ts';
import { decodeKit, encodeKit } from './kit.ts';

describe('BIP-350, test vectors for bech32m', () => {
  test.each([
    'A1LQFN3A',
    'a1lqfn3a',
    'abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx',
    'split1checkupstagehandshakeupstreamerranterredcaperredlc445v',
    '?1v759aa',
  ])('%s is valid', (text) => {
    const { prefix, words } = bech32m.decode(text as `${string}1${string}`, 1000);
    expect(bech32m.encode(prefix, words, 1000)).toBe(text.toLowerCase());
  });

  test.each([
    ['an invalid character', 'y1b0jsk6g'],
    ['a digit outside the data part', 'lt1igcx5c0'],
    ['no separator', 'qyrz8wqd2c9m'],
    ['an empty prefix', '1qyrz8wqd2c9m'],
    ['too short a checksum', 'in1muywd'],
    ['a checksum of bech32, not bech32m', 'mm1crxm3i'],
    ['a checksum calculated with capitals of the prefix', 'M1VUXWEZ'],
    ['an empty prefix with a checksum', '16plkw9'],
    ['the BIP-173 sample with the old constant', 'A12UEL5L'],
  ])('%s is refused, also by decodeKit', (_, text) => {
    expect(() => bech32m.decode(text as `${string}1${string}`)).toThrow();
    expect(() => decodeKit(text)).toThrow(ProtocolError);
  });
});

describe('kit', () => {
  const secret = fc.uint8Array({ minLength: 20, maxLength: 20 });

  test('what is written is read back, in capitals or small letters, with or without hyphens', () => {
    fc.assert(
      fc.property(secret, (bytes) => {
        const text = encodeKit(bytes);
        expect(text).toMatch(/^CSKI-T1[0-9A-Z]{2}(-[0-9A-Z]{4}){9}$/);
        for (const typed of [text, text.toLowerCase(), text.replaceAll('-', ' '), ` ${text.replaceAll('-', '')}\n`])
          expect(decodeKit(typed)).toEqual(bytes);
      }),
    );
  });

  test('every single mistyped letter is noticed', () => {
    const text = encodeKit(new Uint8Array(20).fill(0x5a)).replaceAll('-', '');
    for (let at = 0; at < text.length; at++)
      for (const letter of 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L')
        if (letter !== text[at])
          expect(() => decodeKit(text.slice(0, at) + letter + text.slice(at + 1))).toThrow(ProtocolError);
  });

  test.each([19, 21])('%i bytes are no kit', (length) => {
    const text = bech32m.encode('cskit', bech32m.toWords(new Uint8Array(length)));
    expect(() => decodeKit(text)).toThrow('kit: not 20 bytes');
    expect(() => encodeKit(new Uint8Array(length))).toThrow('kit: not 20 bytes');
  });
});
