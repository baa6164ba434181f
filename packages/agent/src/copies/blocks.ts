import { promisify } from 'node:util';
import { constants, deflateRaw, deflateRawSync, type ZlibOptions } from 'node:zlib';

/** Files are read and compressed in blocks of this many bytes, several at the same time. */
export const BLOCK_BYTES = 512 * 1024;
/** Below it trying costs less than guessing. */
const SAMPLE_BYTES = 64 * 1024;
/** Below one block of a disk there is nothing to gain that headers and manifest would not outweigh. */
const STORED_BYTES = 4096;
/** Up to here a file is compressed without waiting; with a window of at most 32 KiB. */
export const TINY_BYTES = 32 * 1024;
/** Compressing helps when it takes away a tenth at least. */
const WORTH = 0.9;
/** Compressed bytes made in one trip to another thread: big enough to be few, small enough that many at once are no burden. */
const OUTPUT_BYTES = 256 * 1024;
/** The longest stored block of deflate (RFC 1951, 3.2.4). */
const MAX_STORED = 0xffff;

const deflate = promisify(deflateRaw);

/** The end of a deflate stream whose blocks were all flushed: an empty last block (RFC 1951). */
export const LAST_BLOCK = Buffer.from([0x03, 0x00]);

/** A small file compressed, or undefined when that does not help. */
export async function compressWhole(bytes: Buffer): Promise<Buffer | undefined> {
  if (bytes.length < STORED_BYTES) return undefined;
  if (bytes.length <= TINY_BYTES) return compressTiny(bytes);
  if (!(await isWorth(bytes))) return undefined;
  const made = await deflate(bytes, options(constants.Z_FINISH));
  return made.length < bytes.length * WORTH ? tight(made) : undefined;
}

/** On this thread, with a window no bigger than the file: what a trip to another one costs would be most of it. */
function compressTiny(bytes: Buffer): Buffer | undefined {
  const windowBits = Math.max(9, 32 - Math.clz32(bytes.length));
  const made = deflateRawSync(bytes, { level: 1, windowBits, memLevel: 5, chunkSize: bytes.length + 1024 });
  return made.length < bytes.length * WORTH ? tight(made) : undefined;
}

/**
 * One block of a bigger file as complete deflate blocks, so that it can be made beside its neighbours and put between
 * them (as pigz does). What does not shrink becomes stored blocks.
 */
export async function compressBlock(bytes: Buffer): Promise<readonly Buffer[]> {
  if (!(await isWorth(bytes))) return storedBlocks(bytes);
  return [tight(await deflate(bytes, options(constants.Z_SYNC_FLUSH)))];
}

/** Whether a sample from the middle shrinks: documents and pictures are compressed already. */
async function isWorth(bytes: Buffer): Promise<boolean> {
  if (bytes.length <= SAMPLE_BYTES) return bytes.length > 0;
  const at = (bytes.length - SAMPLE_BYTES) >> 1;
  const made = await deflate(bytes.subarray(at, at + SAMPLE_BYTES), options(constants.Z_FINISH));
  return made.length < SAMPLE_BYTES * WORTH;
}

function options(finishFlush: number): ZlibOptions {
  return { level: 1, chunkSize: OUTPUT_BYTES, finishFlush };
}

/** Gives a result memory of its own size: it may wait among many others until it is written. */
function tight(bytes: Buffer): Buffer {
  if (bytes.length * 2 > bytes.buffer.byteLength) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}

function storedBlocks(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += MAX_STORED) {
    const piece = bytes.subarray(at, at + MAX_STORED);
    const header = Buffer.alloc(5);
    header.writeUInt16LE(piece.length, 1);
    header.writeUInt16LE(~piece.length & 0xffff, 3);
    pieces.push(header, piece);
  }
  return pieces;
}
