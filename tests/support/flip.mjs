// Preloaded into a program under test, and its worker threads: faulty memory. TEST_FLIP says after which step one bit of a
// buffer flips, once a thread: `hash` a chunk in the arena once it has its id, `compress` the zstd frame, `encrypt` the
// sealed bytes, `pack` a segment that waits for the end of its pack.
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import zlib from 'node:zlib';

let left = 1;
const flipped = (buffer) => {
  if (left > 0 && buffer.length > 64) {
    left -= 1;
    buffer[40] ^= 1;
  }
  return buffer;
};

if (process.env.TEST_FLIP === 'hash') {
  const real = crypto.createHmac;
  crypto.createHmac = (...args) => {
    const hmac = real(...args);
    let chunk;
    const [update, digest] = [hmac.update.bind(hmac), hmac.digest.bind(hmac)];
    hmac.update = (bytes) => {
      chunk = bytes;
      update(bytes);
      return hmac;
    };
    hmac.digest = (encoding) => {
      const id = digest(encoding);
      if (chunk.buffer instanceof SharedArrayBuffer) flipped(chunk);
      return id;
    };
    return hmac;
  };
}
if (process.env.TEST_FLIP === 'pack') {
  const real = Buffer.prototype.copy;
  Buffer.prototype.copy = function (target, at = 0, ...rest) {
    const copied = real.call(this, target, at, ...rest);
    // sealed segments are all that is copied within the arena
    if (target.buffer === this.buffer && target.buffer instanceof SharedArrayBuffer) flipped(target.subarray(at));
    return copied;
  };
}
if (process.env.TEST_FLIP === 'compress') {
  const real = zlib.zstdCompressSync;
  zlib.zstdCompressSync = (...args) => flipped(real(...args));
}
if (process.env.TEST_FLIP === 'encrypt') {
  const real = crypto.createCipheriv;
  crypto.createCipheriv = (...args) => {
    const cipher = real(...args);
    const update = cipher.update.bind(cipher);
    cipher.update = (...pieces) => flipped(update(...pieces));
    return cipher;
  };
}
syncBuiltinESMExports();
