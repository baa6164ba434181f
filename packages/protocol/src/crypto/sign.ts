import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto';
import { concat, plainView } from '../bytes/bytes.ts';
import { fromHex } from '../bytes/hex.ts';
import { ProtocolError } from '../errors.ts';
import { label } from './labels.ts';

/** What a signature is for; the name is part of what is signed. */
export type SignatureName = 'header' | 'entry' | 'receipt' | 'receipt-key' | 'proof';

export const SIGNATURE_BYTES = 64;
export const PUBLIC_KEY_BYTES = 32;
// RFC 8410: the DER bytes before a raw Ed25519 seed (PKCS#8) and before a raw public key (SPKI)
const PKCS8_PREFIX = fromHex('302e020100300506032b657004220420');
const SPKI_PREFIX = fromHex('302a300506032b6570032100');
const NUL = new Uint8Array(1);

function privateKey(seed: Uint8Array): KeyObject {
  if (seed.length !== 32) throw new ProtocolError('format', 'an Ed25519 seed has 32 bytes');
  return createPrivateKey({ key: Buffer.from(concat(PKCS8_PREFIX, seed)), format: 'der', type: 'pkcs8' });
}

/** The raw Ed25519 public key (32 bytes) of a seed (32 bytes), RFC 8032. */
export function publicKeyOf(seed: Uint8Array): Uint8Array {
  const der = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' });
  return Uint8Array.from(der.subarray(SPKI_PREFIX.length));
}

/** Plain Ed25519 (RFC 8032) of a message, 64 bytes. */
export function ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return plainView(signBytes(null, message, privateKey(seed)));
}

/** Plain Ed25519 verification; false for anything that is not a valid signature by that raw public key. */
export function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  const key = createPublicKey({ key: Buffer.from(concat(SPKI_PREFIX, publicKey)), format: 'der', type: 'spki' });
  return verifyBytes(null, message, key, signature);
}

/** `Sign(key, name, m)` of SPEC 3: Ed25519 over `L(name) ‖ 00 ‖ m`. */
export function sign(seed: Uint8Array, name: SignatureName, message: Uint8Array): Uint8Array {
  return ed25519Sign(seed, concat(label(name), NUL, message));
}

export function verify(
  publicKey: Uint8Array,
  name: SignatureName,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  return ed25519Verify(publicKey, concat(label(name), NUL, message), signature);
}
