import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { encodeHistory, splitHistory } from '@cresus-safe/protocol';
import { onDisk, readIfThere, writeDurable } from '../local/files.ts';
import type { RawFrame } from './remote.ts';

/**
 * The durable history of this computer: `magic 8 ‖ record…`, record = u32 length ‖ history frame ‖ first 8 bytes of its
 * SHA-256. Only verified frames are ever written. It is appended to and synced in one write, so that a crash leaves at
 * most a torn record at the end, which the checksum finds.
 */
const MAGIC = Buffer.from('CSHL\u0001\0\0\0', 'latin1');
const CHECK_BYTES = 8;

export interface LoadedLog {
  readonly frames: RawFrame[];
  /** Bytes at the end that were no whole record; they are cut off. */
  readonly dropped: number;
}

/**
 * Reads the log and cuts a torn end off. A file that is no log at all counts as empty, with everything dropped.
 * @param repair false for who does not hold the lock: what looks torn may be what another run is just writing
 */
export function loadLog(path: string, repair = true): LoadedLog {
  const bytes = readIfThere(path);
  if (bytes === undefined) return { frames: [], dropped: 0 };
  const frames: RawFrame[] = [];
  let end = bytes.subarray(0, MAGIC.length).equals(MAGIC) ? MAGIC.length : 0;
  for (let next = end; end > 0 && next !== undefined; ) {
    const record = recordAt(bytes, next);
    if (record === undefined) break;
    frames.push(...record.frames);
    next = record.end;
    end = next;
  }
  const dropped = bytes.length - end;
  if (repair && dropped > 0) truncate(path, end);
  return { frames, dropped };
}

/** Appends frames durably in one write. */
export function appendLog(path: string, frames: readonly RawFrame[]): void {
  if (frames.length === 0) return;
  const records = Buffer.concat(frames.map(record));
  onDisk(path, () => {
    const file = openSync(path, 'a', 0o600);
    try {
      const start = sizeOf(file) === 0 ? Buffer.concat([MAGIC, records]) : records;
      for (let done = 0; done < start.length; ) done += writeSync(file, start, done);
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
  });
}

/** Replaces the whole log (an accepted override): old or new after a crash, never a mixture. */
export function rewriteLog(path: string, frames: readonly RawFrame[]): void {
  writeDurable(path, Buffer.concat([MAGIC, ...frames.map(record)]));
}

function record(frame: RawFrame): Buffer {
  const payload = encodeHistory([frame]);
  const out = Buffer.alloc(4 + payload.length + CHECK_BYTES);
  out.writeUInt32BE(payload.length, 0);
  out.set(payload, 4);
  out.set(check(payload), 4 + payload.length);
  return out;
}

function recordAt(bytes: Buffer, at: number): { frames: RawFrame[]; end: number } | undefined {
  if (at + 4 > bytes.length) return undefined;
  const length = bytes.readUInt32BE(at);
  const end = at + 4 + length + CHECK_BYTES;
  if (end > bytes.length) return undefined;
  const payload = bytes.subarray(at + 4, at + 4 + length);
  if (!check(payload).equals(bytes.subarray(at + 4 + length, end))) return undefined;
  return { frames: splitHistory(payload), end };
}

function check(payload: Uint8Array): Buffer {
  return createHash('sha256').update(payload).digest().subarray(0, CHECK_BYTES);
}

function truncate(path: string, length: number): void {
  onDisk(path, () => {
    const file = openSync(path, 'r+');
    try {
      ftruncateSync(file, length);
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
  });
}

function sizeOf(file: number): number {
  return fstatSync(file).size;
}
