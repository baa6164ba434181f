// Node cuts small Buffers from a pool of a little over Buffer.poolSize that all share, some beginning at its offset 0
const POOL_AT_MOST = Buffer.poolSize * 2;
const WORTH_IT = 16 * 1024;

/**
 * Gives the memory of a large temporary back at once instead of at the next collection; touching fresh pages is what a
 * backup spends its time on. Only for the result of a call (OpenSSL, zlib) that nobody else holds: the whole buffer
 * below it is gone afterwards. What may lie in Node's pool is left alone.
 */
export function freeTemporary(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (!(buffer instanceof ArrayBuffer) || bytes.byteOffset !== 0 || buffer.byteLength < WORTH_IT) return;
  // zlib cuts its result from the beginning of a larger buffer of its own
  const isOwned = bytes.byteLength === buffer.byteLength || buffer.byteLength > POOL_AT_MOST;
  if (isOwned) buffer.transfer(0);
}
