import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { asMandateRef, asSnapshotId, idBytes, type MandateRef, type SnapshotId } from '../ids.ts';
import { isDateNumber } from './dates.ts';

/** One snapshot that lives at a checkpoint. */
export interface LiveSnapshot {
  readonly snapshotId: SnapshotId;
  /** seq of its snapshot-add. */
  readonly seq: number;
  readonly mandateRef: MandateRef;
  /** yyyymmdd, or 0. */
  readonly holdUntil: number;
}

/** Live set of SPEC 13; throws as `parseLiveSet`. */
export function encodeLiveSet(live: readonly LiveSnapshot[]): Uint8Array {
  const writer = new Writer(12 + live.length * 60).magic('CSLS').zero(3).u32(live.length);
  for (const one of live)
    writer.bytes(idBytes(one.snapshotId)).u64(one.seq).bytes(idBytes(one.mandateRef)).u32(one.holdUntil);
  const bytes = writer.finish();
  parseLiveSet(bytes);
  return bytes;
}

/** Parses strictly (ascending by seq, no snapshot twice); throws `format` or `version`. */
export function parseLiveSet(bytes: Uint8Array): LiveSnapshot[] {
  const reader = new Reader(bytes, 'live set');
  reader.magic('CSLS');
  reader.zero(3, 'reserved bytes');
  const count = reader.u32('count');
  const live: LiveSnapshot[] = [];
  const ids = new Set<SnapshotId>();
  let seq = 0;
  for (let index = 0; index < count; index++) {
    const one = readLive(reader);
    if (one.seq <= seq) reader.fail('not strictly ascending by seq');
    if (ids.has(one.snapshotId)) reader.fail('the same snapshot twice');
    if (one.holdUntil !== 0 && !isDateNumber(one.holdUntil)) reader.fail('holdUntil is not a date');
    seq = one.seq;
    ids.add(one.snapshotId);
    live.push(one);
  }
  reader.end();
  return live;
}

function readLive(reader: Reader): LiveSnapshot {
  return {
    snapshotId: asSnapshotId(reader.bytes(32, 'snapshotId')),
    seq: reader.u64('seq'),
    mandateRef: asMandateRef(reader.bytes(16, 'mandateRef')),
    holdUntil: reader.u32('holdUntil'),
  };
}
