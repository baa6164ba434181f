/**
 * Gives the memory of a large temporary back at once instead of at the next collection; touching fresh pages is what a
 * backup spends its time on. Only for the result of a call (OpenSSL, zlib) that nobody else holds: the whole buffer
 * below it is gone afterwards. Small ones are left alone, because Node cuts them from a pool that others share.
 */
export function freeTemporary(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && bytes.byteOffset === 0 && buffer.byteLength >= LEAST_BYTES) buffer.transfer(0);
}

const LEAST_BYTES = Math.max(Buffer.poolSize, 16 * 1024) + 1;
