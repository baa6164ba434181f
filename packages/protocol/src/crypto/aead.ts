import { type Cipheriv, createCipheriv, createDecipheriv } from 'node:crypto';
import { freeTemporary } from '../bytes/temporary.ts';
import { ProtocolError } from '../errors.ts';

/** A sealed text is longer than its plain text by the tag. */
export const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';
const OPTIONS = { authTagLength: TAG_BYTES };
const MAX_NONCE = 2n ** 96n;

/** A nonce written as a number is that number as 12 bytes, big-endian (SPEC 3). */
function nonceBytes(nonce: number | bigint): Buffer {
  const value = BigInt(nonce);
  if (value < 0n || value >= MAX_NONCE) throw new ProtocolError('format', `nonce ${value} does not fit 12 bytes`);
  return Buffer.from(value.toString(16).padStart(24, '0'), 'hex');
}

// OpenSSL's results are fresh memory: small pieces, given back at once, are used again instead of touching new pages
const PIECE_BYTES = 64 * 1024;

function updateInto(cipher: Pick<Cipheriv, 'update'>, from: Uint8Array, into: Uint8Array): void {
  for (let at = 0; at < from.length; at += PIECE_BYTES) {
    const piece = cipher.update(from.subarray(at, at + PIECE_BYTES));
    into.set(piece, at);
    freeTemporary(piece);
  }
}

function target(into: Uint8Array | undefined, length: number): Uint8Array {
  if (into === undefined) return new Uint8Array(length);
  if (into.length < length)
    throw new ProtocolError('format', `${into.length} bytes of room where ${length} are needed`);
  return into.subarray(0, length);
}

/**
 * `GCM(key, nonce, plain)` of SPEC 3: AES-256-GCM without associated data, tag appended.
 *
 * @param into where the sealed bytes go (the caller's arena); a new array when absent. It may not overlap `plain`.
 * @returns exactly `plain.length + 16` bytes
 */
export function seal(key: Uint8Array, nonce: number | bigint, plain: Uint8Array, into?: Uint8Array): Uint8Array {
  const cipher = createCipheriv(ALGORITHM, key, nonceBytes(nonce), OPTIONS);
  const sealed = target(into, plain.length + TAG_BYTES);
  updateInto(cipher, plain, sealed);
  cipher.final();
  sealed.set(cipher.getAuthTag(), plain.length);
  return sealed;
}

/**
 * Opens what `seal` made; throws `integrity` naming `what` and then leaves zeros in `into`, never unauthenticated bytes.
 */
export function open(
  key: Uint8Array,
  nonce: number | bigint,
  sealed: Uint8Array,
  what: string,
  into?: Uint8Array,
): Uint8Array {
  const length = sealed.length - TAG_BYTES;
  if (length < 0) throw new ProtocolError('integrity', `${what}: shorter than its authentication tag`);
  const decipher = createDecipheriv(ALGORITHM, key, nonceBytes(nonce), OPTIONS);
  decipher.setAuthTag(sealed.subarray(length));
  const plain = target(into, length);
  updateInto(decipher, sealed.subarray(0, length), plain);
  try {
    decipher.final();
  } catch (cause) {
    plain.fill(0);
    throw new ProtocolError('integrity', `${what}: authentication failed`, { cause });
  }
  return plain;
}
