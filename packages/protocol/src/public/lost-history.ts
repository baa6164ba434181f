import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { asHash, type Hash, idBytes } from '../ids.ts';

/** What a rollback-accepted entry gives up (SPEC 13). */
export interface LostHistory {
  /** Last common seq. */
  readonly base: number;
  /** seq of the last entry given up. */
  readonly lostHead: number;
  /** Chain hashes of the entries base+1 … lostHead. */
  readonly hashes: readonly Hash[];
}

const MAX_LOST = 100_000;

/** Throws as `parseLostHistory`. */
export function encodeLostHistory(lost: LostHistory): Uint8Array {
  const writer = new Writer(28 + lost.hashes.length * 32).magic('CSLH').zero(3);
  writer.u64(lost.base).u64(lost.lostHead).u32(lost.hashes.length);
  for (const hash of lost.hashes) writer.bytes(idBytes(hash));
  const bytes = writer.finish();
  parseLostHistory(bytes);
  return bytes;
}

/** Parses strictly; throws `format`, `version` or `limit`. */
export function parseLostHistory(bytes: Uint8Array): LostHistory {
  const reader = new Reader(bytes, 'lost history');
  reader.magic('CSLH');
  reader.zero(3, 'reserved bytes');
  const base = reader.u64('base');
  const lostHead = reader.u64('lostHead');
  const count = reader.u32('count');
  if (count > MAX_LOST) reader.fail(`${count} entries, over ${MAX_LOST}`);
  if (base < 1) reader.fail('base is 0: another vault, not a rollback');
  if (count < 1 || count !== lostHead - base) reader.fail('count is not lostHead - base');
  const hashes = Array.from({ length: count }, () => asHash(reader.bytes(32, 'chain hash')));
  reader.end();
  return { base, lostHead, hashes };
}
