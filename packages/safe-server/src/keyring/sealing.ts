import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { ServerError } from '../errors.ts';
import { label } from './signing.ts';

const MAGIC = Buffer.from('CSSV\x01\0\0\0', 'latin1');
const HEADER = MAGIC.length + 8 + 32;
const TAG = 16;
const NONCE_ZERO = Buffer.alloc(12);

/** A key under which the server seals what it stores, and its id. */
export interface SealKey {
  /** 16 hex digits. */
  readonly keyId: string;
  readonly key: Buffer;
}

/** `H(L("seal-key") ‖ 00 ‖ key)[0..8]` in hex: derived, so that a ring with swapped ids does not load. */
export function sealKeyId(key: Uint8Array): string {
  return createHash('sha256').update(label('seal-key')).update(Buffer.of(0)).update(key).digest('hex').slice(0, 16);
}

/** SPEC 17; the object key is part of the derivation, so an object moved to another place does not open there. */
function derive(key: Buffer, salt: Uint8Array, objectKey: string): Buffer {
  const info = Buffer.concat([label('server'), Buffer.from(objectKey)]);
  return Buffer.from(hkdfSync('sha512', key, salt, info, 32));
}

/**
 * Seals what only this server may read, bound to the bucket key it is stored under (SPEC 17). The salt is drawn anew
 * for each object, so nonce 0 seals one text only.
 */
export function sealObject(
  { keyId, key }: SealKey,
  objectKey: string,
  plain: Uint8Array,
  random: (n: number) => Uint8Array,
): Buffer {
  const salt = random(32);
  const cipher = createCipheriv('aes-256-gcm', derive(key, salt, objectKey), NONCE_ZERO, { authTagLength: TAG });
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([MAGIC, Buffer.from(keyId, 'hex'), salt, sealed, cipher.getAuthTag()]);
}

/** The id of the key that a sealed object needs; undefined when this is not a sealed object of version 1. */
export function sealedWith(sealed: Uint8Array): string | undefined {
  if (sealed.length < HEADER + TAG || !MAGIC.equals(sealed.subarray(0, MAGIC.length))) return undefined;
  return Buffer.from(sealed.subarray(MAGIC.length, MAGIC.length + 8)).toString('hex');
}

/** Opens what `sealObject` made; throws `stored-damaged` when it does not authenticate under this key and place. */
export function openObject({ key }: SealKey, objectKey: string, sealed: Uint8Array): Buffer {
  const salt = sealed.subarray(MAGIC.length + 8, HEADER);
  const decipher = createDecipheriv('aes-256-gcm', derive(key, salt, objectKey), NONCE_ZERO, { authTagLength: TAG });
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
  const plain = decipher.update(sealed.subarray(HEADER, sealed.length - TAG));
  try {
    decipher.final();
  } catch (cause) {
    throw new ServerError('stored-damaged', {}, { cause });
  }
  return plain;
}
