// Preloaded into a program under test, and its worker threads: faulty memory. TEST_FLIP says after which step one bit of a
// buffer flips, once a thread: `compress` the zstd frame, `encrypt` the sealed bytes.
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
