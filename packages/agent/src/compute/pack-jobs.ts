import { createHash, type KeyObject } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import {
  freeTemporary,
  MAX_SEGMENT_BYTES,
  type MandateRef,
  type OpenedPack,
  openPack,
  type PackId,
  type PackKeys,
  ProtocolError,
  packIdOf,
  sealSegment,
} from '@cresus-safe/protocol/formats';
import { type Arena, blockPlace } from './arena.ts';
import { checksOf, writeChunkIds } from './chunk-ids.ts';
import type {
  HashFileJob,
  HashJob,
  PackChunks,
  SealJob,
  SealResult,
  UnpackJob,
  UnpackResult,
  UnpackWrite,
} from './jobs.ts';

/** Seals a segment; it counts once `runHash` opened it again. */
export function runSeal(arena: Arena, job: SealJob): SealResult {
  const plain = arena.segmentPlain(job.slot).subarray(0, job.plainLength);
  const { compression, sealed } = sealSegment(job.key, job.ordinal, plain, arena.segmentSealed(job.slot));
  return { compression, sealedLength: sealed.length };
}

// payloads pass through here, one at a time in each thread
const scratch = new Uint8Array(MAX_SEGMENT_BYTES);

function giveBack(plain: Uint8Array): void {
  if (plain.buffer !== scratch.buffer) freeTemporary(plain);
}

/**
 * Names a finished pack, then opens it as a restore would and compares every chunk with its checksum from when it was
 * read: memory that failed anywhere between has spoilt nothing but this run (F-44). Later the server finds the name wrong.
 */
export function runHash(arena: Arena, job: HashJob): PackId {
  const pack = arena.pack(job.slot).subarray(0, job.length);
  const packId = packIdOf(pack);
  const opened = openPack(pack, packId, keysOf(job), { nameChecked: true });
  let at = 0;
  for (const [ordinal, { chunkLengths }] of opened.segments.entries()) {
    const plain = opened.segment(ordinal, scratch);
    for (const check of checksOf(plain, { data: 0, lengths: Uint32Array.from(chunkLengths) }))
      if (check !== job.checks[at++])
        throw new ProtocolError('integrity', `segment ${ordinal} is not what was read: faulty memory?`);
    giveBack(plain);
  }
  if (at !== job.checks.length) throw new ProtocolError('integrity', 'a pack of other chunks: faulty memory?');
  return packId;
}

function keysOf(job: { mandateRef: MandateRef; packKey: Uint8Array }): PackKeys {
  return { ref: job.mandateRef, packKey: () => job.packKey };
}

/** Verifies and opens a fetched pack; see UnpackJob. Throws `integrity` and the disk's errors. */
export function runUnpack(arena: Arena, key: KeyObject | undefined, job: UnpackJob): UnpackResult {
  const { nameChecked = false } = job;
  const opened = openPack(arena.pack(job.slot).subarray(0, job.length), job.packId, keysOf(job), { nameChecked });
  const digests: string[] = new Array(job.writes.filter((write) => write.digest).length);
  const chunks: PackChunks[] = [];
  const bySegment = groupBySegment(job.writes);
  for (let ordinal = 0; ordinal < opened.segments.length; ordinal++) {
    const writes = bySegment.get(ordinal);
    if (!writes && !job.chunks) continue;
    const plain = opened.segment(ordinal, scratch);
    for (const { write, digest } of writes ?? []) {
      const run = runOf(plain, write);
      writeRun(write, run);
      if (digest !== undefined) digests[digest] = createHash('sha256').update(run).digest('hex');
    }
    if (job.chunks && key) chunks.push(chunksOf(arena, key, job.slot, opened, ordinal, plain));
    giveBack(plain);
    bySegment.delete(ordinal);
  }
  if (bySegment.size > 0) throw new ProtocolError('integrity', 'pack: a file names a segment that is not there');
  return { packRef: opened.packRef, segments: opened.segments, digests, chunks };
}

function groupBySegment(writes: readonly UnpackWrite[]): Map<number, { write: UnpackWrite; digest?: number }[]> {
  const groups = new Map<number, { write: UnpackWrite; digest?: number }[]>();
  let digests = 0;
  for (const write of writes) {
    const group = groups.get(write.segment) ?? [];
    group.push(write.digest ? { write, digest: digests++ } : { write });
    groups.set(write.segment, group);
  }
  return groups;
}

function runOf(plain: Uint8Array, write: UnpackWrite): Uint8Array {
  if (write.offset + write.length > plain.length)
    throw new ProtocolError('integrity', `segment ${write.segment}: a file names bytes past its end`);
  return plain.subarray(write.offset, write.offset + write.length);
}

function writeRun(write: UnpackWrite, run: Uint8Array): void {
  if (typeof write.target === 'number') {
    writeAll(write.target, run, write.position);
    return;
  }
  const file = openSync(write.target, write.exists ? 'r+' : 'wx', 0o600);
  try {
    writeAll(file, run, write.position);
  } finally {
    closeSync(file);
  }
}

function writeAll(file: number, run: Uint8Array, position: number): void {
  for (let done = 0; done < run.length; ) done += writeSync(file, run, done, run.length - done, position + done);
}

/** Ids are made in the block that has the pack's number: restoring uses no blocks. */
function chunksOf(
  arena: Arena,
  key: KeyObject,
  slot: number,
  opened: OpenedPack,
  ordinal: number,
  plain: Uint8Array,
): PackChunks {
  const entry = opened.segments[ordinal] as OpenedPack['segments'][number];
  const place = blockPlace(slot);
  arena.bytes(place.data, plain.length).set(plain);
  const lengths = Uint32Array.from(entry.chunkLengths);
  // a segment of 2 MiB may list more chunks than a block has room for ids; behind its plain bytes there is enough
  const idsAt = place.data + plain.length;
  writeChunkIds(arena, key, entry.contentClass, { data: place.data, lengths, ids: idsAt });
  return { contentClass: entry.contentClass, lengths, ids: Uint8Array.from(arena.bytes(idsAt, lengths.length * 16)) };
}

/** SHA-256 of a whole file. */
export function runHashFile(job: HashFileJob): string {
  const file = openSync(job.path, 'r');
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafeSlow(256 * 1024);
    for (let read = 1; read > 0; ) {
      read = readSync(file, buffer, 0, buffer.length, null);
      hash.update(buffer.subarray(0, read));
    }
    return hash.digest('hex');
  } finally {
    closeSync(file);
  }
}
