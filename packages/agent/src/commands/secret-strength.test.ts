import { describe, expect, it } from '@jest/globals';
import { checkLength, strengthOf } from './secret-strength.ts';

describe('the strength of a secret key', () => {
  it.each([
    ['French', 'bibliotheque'],
    ['German', 'schmetterling'],
    ['Italian', 'farfalla'],
    ['English', 'butterfly'],
  ])('knows %s words', async (_, word) => {
    expect(await strengthOf(word)).toBeLessThanOrEqual(1);
  });

  it('tells a good one from a bad one, and measures a very long one in no time', async () => {
    expect(await strengthOf('password')).toBe(0);
    expect(await strengthOf('vif tracteur 83 nuage Lausanne')).toBe(4);
    expect(await strengthOf('aB3$'.repeat(5000))).toBeGreaterThanOrEqual(0);
  });
});

it('counts code points after normalisation', () => {
  expect(() => checkLength('abcdefg')).toThrow(expect.objectContaining({ kind: 'short-secret' }));
  expect(() => checkLength('e\u0301'.repeat(7))).toThrow(expect.objectContaining({ kind: 'short-secret' }));
  expect(() => checkLength('😀'.repeat(8))).not.toThrow();
});
