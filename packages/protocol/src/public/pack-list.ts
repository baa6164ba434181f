import { sha256 } from '../bytes/bytes.ts';
import { fromHex, toHex } from '../bytes/hex.ts';
import { ProtocolError } from '../errors.ts';
import { asHash, asPackId, type Hash, type PackId } from '../ids.ts';
import { MAX_PACKS_PER_SNAPSHOT } from './limits.ts';

/** The pack ids joined; throws `format` unless strictly ascending, `limit` when too many. */
export function encodePackIds(ids: readonly PackId[]): Uint8Array {
  checkAscending(ids);
  return fromHex(ids.join(''));
}

/** Pack ids of joined bytes, checked as by `encodePackIds`. */
export function parsePackIds(bytes: Uint8Array): PackId[] {
  if (bytes.length % 32 !== 0) throw new ProtocolError('format', 'pack ids: length is not a multiple of 32');
  const hex = toHex(bytes);
  const ids = Array.from({ length: bytes.length / 32 }, (_, index) => asPackId(hex.slice(index * 64, index * 64 + 64)));
  checkAscending(ids);
  return ids;
}

/** `packListHash` of SPEC 6; of no packs it is the hash of nothing. */
export function packListHash(ids: readonly PackId[]): Hash {
  return asHash(sha256(encodePackIds(ids)));
}

export const NO_PACKS: Hash = packListHash([]);

function checkAscending(ids: readonly PackId[]): void {
  if (ids.length > MAX_PACKS_PER_SNAPSHOT)
    throw new ProtocolError('limit', `pack ids: ${ids.length}, over ${MAX_PACKS_PER_SNAPSHOT}`);
  let previous = '';
  for (const id of ids) {
    if (id <= previous) throw new ProtocolError('format', 'pack ids: not strictly ascending');
    previous = id;
  }
}
