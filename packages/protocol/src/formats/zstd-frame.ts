import { ProtocolError } from '../errors.ts';

const MAGIC = 0xfd2fb528;
const CHECKSUM_BYTES = 4;
const BLOCK_HEADER_BYTES = 3;

/**
 * Checks that `payload` is exactly one zstd frame (RFC 8878) with a checksum, without a dictionary, that declares
 * `plainLength` bytes. Node ignores whatever follows a frame, so its end is found by walking the blocks.
 * @throws ProtocolError `integrity`
 */
export function checkZstdFrame(payload: Uint8Array, plainLength: number): void {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (payload.length < 6 || view.getUint32(0, true) !== MAGIC) fail('is not a zstd frame');
  const descriptor = view.getUint8(4);
  if ((descriptor & 0b0000_0100) === 0) fail('has no checksum');
  if ((descriptor & 0b0000_1011) !== 0) fail('uses a dictionary or reserved bits');
  const singleSegment = (descriptor & 0b0010_0000) !== 0;
  const sizeFlag = descriptor >> 6;
  const sizeAt = singleSegment ? 5 : 6;
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag;
  if (sizeBytes === 0) fail('does not declare its length');
  if (sizeAt + sizeBytes > payload.length) fail('ends within its header');
  if (declaredLength(view, sizeAt, sizeBytes) !== plainLength) fail(`does not declare ${plainLength} bytes`);
  if (endOfBlocks(view, sizeAt + sizeBytes) + CHECKSUM_BYTES !== payload.length) fail('does not end at the end');
}

function declaredLength(view: DataView, at: number, bytes: number): number {
  if (bytes === 1) return view.getUint8(at);
  if (bytes === 2) return view.getUint16(at, true) + 256;
  if (bytes === 4) return view.getUint32(at, true);
  return Number(view.getBigUint64(at, true));
}

function endOfBlocks(view: DataView, start: number): number {
  for (let at = start; ; ) {
    if (at + BLOCK_HEADER_BYTES > view.byteLength) fail('ends within a block');
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const isRun = ((header >> 1) & 3) === 1;
    at += BLOCK_HEADER_BYTES + (isRun ? 1 : header >> 3);
    if (header & 1) return at;
  }
}

function fail(defect: string): never {
  throw new ProtocolError('integrity', `segment: payload ${defect}`);
}
