import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';

// RFC 8410: the DER bytes before a raw Ed25519 seed (PKCS#8) and before a raw public key (SPKI)
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** `L(name)` of SPEC 3. */
export function label(name: string): Buffer {
  return Buffer.from(`cresus-safe/1/${name}`, 'ascii');
}

/** What the server signs. */
export type ServerSignature = 'receipt' | 'receipt-key';

function labelled(name: string, message: Uint8Array): Buffer {
  return Buffer.concat([label(name), Buffer.of(0), message]);
}

/** The private key of a raw seed (32 bytes). */
export function signingKey(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

/** The raw public key (32 bytes). */
export function publicKeyOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
}

/** `Sign(key, name, m)` of SPEC 3: Ed25519 over `L(name) ‖ 00 ‖ m`. */
export function signNamed(key: KeyObject, name: ServerSignature, message: Uint8Array): Buffer {
  return sign(null, labelled(name, message), key);
}

/** `H(key)[0..8]` in hex: the id of a receipt key (SPEC 7). */
export function keyIdOf(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 16);
}
