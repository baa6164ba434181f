import { bech32m } from '@scure/base';
import { ProtocolError } from '../errors.ts';
import { KIT_SECRET_BYTES } from './slot.ts';

const PREFIX = 'cskit';

/** The kit secret (20 bytes) as people copy it by hand: bech32m (BIP-350) in capitals, in groups of four. */
export function encodeKit(secret: Uint8Array): string {
  if (secret.length !== KIT_SECRET_BYTES) throw new ProtocolError('format', 'kit: not 20 bytes');
  const text = bech32m.encode(PREFIX, bech32m.toWords(secret)).toUpperCase();
  return text.replace(/(.{4})(?=.)/g, '$1-');
}

/** Reads what `encodeKit` wrote; blanks and hyphens do not matter. Throws `format` on any mistyped letter. */
export function decodeKit(text: string): Uint8Array {
  const { prefix, words } = decodeLetters(text.replace(/[\s-]/g, ''));
  if (prefix !== PREFIX) throw new ProtocolError('format', 'kit: does not begin with CSKIT');
  const secret = bytesOf(words);
  if (secret.length !== KIT_SECRET_BYTES) throw new ProtocolError('format', 'kit: not 20 bytes');
  return secret;
}

function decodeLetters(letters: string): { prefix: string; words: number[] } {
  try {
    return bech32m.decode(letters as `${string}1${string}`);
  } catch (cause) {
    throw new ProtocolError('format', 'kit: a letter is wrong or missing', { cause });
  }
}

function bytesOf(words: number[]): Uint8Array {
  try {
    return bech32m.fromWords(words);
  } catch (cause) {
    throw new ProtocolError('format', 'kit: letters that are not whole bytes', { cause });
  }
}
