import { createHmac, hkdfSync } from 'node:crypto';
import { plainView } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';

export const EMPTY: Uint8Array = new Uint8Array(0);

/** HKDF of RFC 5869; SPEC 3 fixes SHA-512, the hash is a parameter only so that the RFC's vectors run. */
export function hkdf(
  ikm: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  length: number,
  hash: 'sha512' | 'sha256' | 'sha1' = 'sha512',
): Uint8Array {
  return new Uint8Array(hkdfSync(hash, ikm, salt, info, length));
}

/** HMAC-SHA-256 over the parts joined, 32 bytes. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac('sha256', key);
  for (const part of parts) hmac.update(part);
  return plainView(hmac.digest());
}

/** A u32 as part of a derivation's info. */
export function u32Bytes(value: number): Uint8Array {
  return new Writer(4).u32(value).finish();
}
