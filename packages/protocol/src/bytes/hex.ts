import { ProtocolError } from '../errors.ts';
import { plainView } from './bytes.ts';

/** Lower-case hex digits of the bytes. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Bytes of lower-case hex digits; throws `format` on anything else (there is one encoding of each value). */
export function fromHex(hex: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(hex)) throw new ProtocolError('format', 'not lower-case hex digits');
  return plainView(Buffer.from(hex, 'hex'));
}
