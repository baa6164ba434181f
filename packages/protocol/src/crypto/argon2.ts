import { plainView } from '../bytes/bytes.ts';
import { ProtocolError } from '../errors.ts';

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

/**
 * Argon2id version 0x13 of RFC 9106, 32 bytes. Never called with parameters that `checkKdf` has not passed.
 *
 * @throws ProtocolError `kdf-limit` when this computer has not the memory
 */
export async function argon2id(
  password: Uint8Array,
  salt: Uint8Array,
  { m, t, p }: KdfParams,
  extras: Argon2Extras = {},
): Promise<Uint8Array> {
  // native code, loaded only by who derives from a secret: a remembered root needs none of it
  const { argon2id: type, hash } = await import('argon2');
  const raw = hash(Buffer.from(password), {
    raw: true,
    type,
    version: 0x13,
    salt: Buffer.from(salt),
    memoryCost: m,
    timeCost: t,
    parallelism: p,
    hashLength: 32,
    ...(extras.secret && { secret: Buffer.from(extras.secret) }),
    ...(extras.associatedData && { associatedData: Buffer.from(extras.associatedData) }),
  });
  try {
    return plainView(await raw);
  } catch (cause) {
    throw new ProtocolError('kdf-limit', `kdf: Argon2id with ${m} KiB failed on this computer`, { cause });
  }
}
