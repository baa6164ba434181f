import { createHash, timingSafeEqual } from 'node:crypto';
import { ProtocolError } from '../errors.ts';

/** A view of a Node Buffer as a plain Uint8Array, so that no Buffer semantics leak out of this package. */
export function plainView(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** Joins byte strings into a new one (the `‖` of SPEC 3). */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Equality in constant time for equal lengths; used for public and secret values alike. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Order by bytes, a prefix before what it begins. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** SHA-256 over the parts joined, 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return plainView(hash.digest());
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 bytes of a text without lone surrogates or NUL (SPEC 3); throws `format`. */
export function encodeText(text: string, what: string): Uint8Array {
  if (!text.isWellFormed()) throw new ProtocolError('format', `${what}: text has an unpaired surrogate`);
  if (text.includes('\0')) throw new ProtocolError('format', `${what}: text has a NUL`);
  return new TextEncoder().encode(text);
}

/** The text of UTF-8 bytes; throws `format` on invalid UTF-8 or NUL. */
export function decodeText(bytes: Uint8Array, what: string): string {
  if (bytes.includes(0)) throw new ProtocolError('format', `${what}: text has a NUL`);
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new ProtocolError('format', `${what}: text is not UTF-8`, { cause });
  }
}

const ASCII = new TextEncoder();

/** The ASCII bytes of a constant of the format (magic or label). */
export function ascii(text: string): Uint8Array {
  return ASCII.encode(text);
}
