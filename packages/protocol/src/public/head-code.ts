import { base32nopad } from '@scure/base';
import { fromHex, toHex } from '../bytes/hex.ts';
import { ProtocolError } from '../errors.ts';
import type { Hash } from '../ids.ts';

const PREFIX_DIGITS = 20;
const CODE = /^([1-9][0-9]{0,15})-([A-Z2-7]{16})$/;

/** Head code of SPEC 14, `<seq>-XXXX-XXXX-XXXX-XXXX`: two people can compare it aloud. */
export function headCode(seq: number, hash: Hash): string {
  const letters = base32nopad.encode(fromHex(hash.slice(0, PREFIX_DIGITS)));
  return `${seq}-${letters.replace(/(.{4})(?=.)/g, '$1-')}`;
}

/**
 * Reads a head code as people type it: lower case and lost or additional blanks and hyphens between the letters do not matter.
 *
 * @returns seq, and the first 20 hex digits of the chain hash; throws `format`
 */
export function parseHeadCode(text: string): { seq: number; prefix: string } {
  const [seq, ...letters] = text
    .trim()
    .toUpperCase()
    .split(/[\s-]+/);
  const match = CODE.exec(`${seq}-${letters.join('')}`);
  const number = Number(match?.[1]);
  if (!match?.[2] || !Number.isSafeInteger(number))
    throw new ProtocolError('format', 'head code: not a number and four groups of four letters');
  return { seq: number, prefix: toHex(base32nopad.decode(match[2])) };
}
