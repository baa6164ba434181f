import { createHmac, hkdfSync } from 'node:crypto';
import { argon2id as ARGON2ID, hash as argon2 } from 'argon2';
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

/** Argon2id costs: memory in KiB, passes, lanes. */
export interface KdfParams {
  readonly m: number;
  readonly t: number;
  readonly p: number;
}

/** RFC 9106's optional inputs, which the format does not use; here for the RFC's vector. */
export interface Argon2Extras {
  readonly secret?: Uint8Array;
  readonly associatedData?: Uint8Array;
}

/** Argon2id version 0x13 of RFC 9106, 32 bytes. Never called with parameters that `checkKdf` has not passed. */
export async function argon2id(
  password: Uint8Array,
  salt: Uint8Array,
  { m, t, p }: KdfParams,
  extras: Argon2Extras = {},
): Promise<Uint8Array> {
  const raw = await argon2(Buffer.from(password), {
    raw: true,
    type: ARGON2ID,
    version: 0x13,
    salt: Buffer.from(salt),
    memoryCost: m,
    timeCost: t,
    parallelism: p,
    hashLength: 32,
    ...(extras.secret && { secret: Buffer.from(extras.secret) }),
    ...(extras.associatedData && { associatedData: Buffer.from(extras.associatedData) }),
  });
  return plainView(raw);
}

/** A u32 as part of a derivation's info. */
export function u32Bytes(value: number): Uint8Array {
  return new Writer(4).u32(value).finish();
}
