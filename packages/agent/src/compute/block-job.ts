import { createHash, type KeyObject } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { WHOLE_FILE_BYTES } from '@cresus-safe/protocol/formats';
import { type Arena, blockPlace, FILE_RESULT_BYTES, MAX_BLOCK_CHUNKS } from './arena.ts';
import type { Cut } from './cdc.ts';
import { writeChunkIds } from './chunk-ids.ts';
import { type BlockJob, PIECE_STATUS, type Piece, type PieceStatus, sameStat, statOf } from './jobs.ts';

// Never through a link, never hanging on a pipe: what is at the path may have been swapped since the scan.
const READ_ONLY = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Does a block job; results lie in the block's slot. Throws only for what is no fault of a file. */
export function runBlock(arena: Arena, cut: Cut, key: KeyObject, job: BlockJob): void {
  const place = blockPlace(job.slot);
  let { data } = place;
  let chunks = 0;
  for (const [i, piece] of job.pieces.entries()) {
    const into = arena.bytes(data, piece.length);
    const status = readPiece(piece, into);
    let count = 0;
    if (status === PIECE_STATUS.ok) {
      count = cutPiece(arena, cut, job, piece, { data, lengths: place.lengths + chunks * 4 });
      const lengths = arena.u32(place.lengths + chunks * 4, count);
      const [ids, checks] = [place.ids + chunks * 16, place.checks + chunks * 4];
      writeChunkIds(arena, key, job.contentClass, { data, lengths, ids, checks });
    }
    const result = place.files + i * FILE_RESULT_BYTES;
    arena.u32(result, 2).set([status, count]);
    if (status === PIECE_STATUS.ok && isWhole(piece))
      arena.bytes(result + 8, 32).set(createHash('sha256').update(into).digest());
    chunks += count;
    data += piece.length;
  }
  if (chunks > MAX_BLOCK_CHUNKS) throw new RangeError(`a block of ${chunks} chunks`);
}

export function isWhole(piece: Piece): boolean {
  return piece.length === piece.stat.size;
}

function cutPiece(arena: Arena, cut: Cut, job: BlockJob, piece: Piece, at: { data: number; lengths: number }): number {
  if (piece.stat.size > WHOLE_FILE_BYTES) return cut(at.data, piece.length, job.params, at.lengths);
  arena.u32(at.lengths, 1)[0] = piece.length;
  return 1;
}

function readPiece(piece: Piece, into: Buffer): PieceStatus {
  let file: number;
  try {
    file = openSync(piece.path, READ_ONLY);
  } catch (error) {
    return statusOf(error);
  }
  try {
    if (!isSame(file, piece)) return PIECE_STATUS.changed;
    for (let done = 0; done < into.length; ) {
      const read = readSync(file, into, done, into.length - done, piece.offset + done);
      if (read === 0) return PIECE_STATUS.changed;
      done += read;
    }
    return isSame(file, piece) ? PIECE_STATUS.ok : PIECE_STATUS.changed;
  } catch (error) {
    return statusOf(error);
  } finally {
    closeSync(file);
  }
}

/** The very file that the scan saw: inode and device too, so that no swapped folder leads elsewhere. */
function isSame(file: number, piece: Piece): boolean {
  const stat = fstatSync(file, { bigint: true });
  return stat.isFile() && sameStat(statOf(stat), piece.stat);
}

function statusOf(error: unknown): PieceStatus {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return PIECE_STATUS.vanished;
  // ELOOP: it is a link now; ENXIO: a socket
  if (code === 'ELOOP' || code === 'ENXIO' || code === 'EISDIR') return PIECE_STATUS.changed;
  if (code === undefined) throw error;
  return PIECE_STATUS.unreadable;
}
