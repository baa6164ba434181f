import { createHash, type Hash as Hasher } from 'node:crypto';
import { asHash, PIECE_BYTES } from '@cresus-safe/protocol';
import { blockPlace, FILE_RESULT_BYTES, MAX_BLOCK_FILES } from '../compute/arena.ts';
import { PIECE_STATUS, type Piece, type PieceStatus } from '../compute/jobs.ts';
import type { Pool } from '../compute/pool.ts';
import type { Vault } from '../vault/vault.ts';
import type { FileEntry } from './entry.ts';

export type Writer = ReturnType<Vault['writer']>;

/** One job of reading: a batch of small files, or 4 MiB of a big one. */
interface Block {
  readonly files: FileEntry[];
  readonly pieces: Piece[];
  bytes: number;
}

interface BlockUnderWay {
  readonly slot: number;
  readonly block: Block;
  readonly done: Promise<unknown>;
}

/** A file that could not be read as it was scanned. */
export interface Unread {
  readonly file: FileEntry;
  readonly status: PieceStatus;
}

/**
 * Reads files through the workers and stores their chunks. Results are taken in the order of the files, so the order
 * in which chunks get into packs does not depend on timing.
 */
export class BlockReader {
  readonly #pool: Pool;
  readonly #writer: Pick<Writer, 'add'>;
  readonly #root: string;
  readonly #onBytes: (bytes: number, files: number) => void;
  readonly #underWay: BlockUnderWay[] = [];
  readonly #unread = new Map<FileEntry, PieceStatus>();
  #hash: { readonly file: FileEntry; readonly hasher: Hasher } | undefined;

  constructor(pool: Pool, writer: Pick<Writer, 'add'>, root: string, onBytes: (bytes: number, files: number) => void) {
    this.#pool = pool;
    this.#writer = writer;
    this.#root = root;
    this.#onBytes = onBytes;
  }

  /** Answers with the files that changed, vanished or could not be read; what was stored of them serves the next try. */
  async read(files: Iterable<FileEntry>): Promise<Unread[]> {
    for (const block of toBlocks(files, this.#root)) {
      let slot = this.#pool.blocks.tryTake();
      while (slot === undefined) {
        await this.#takeOldest();
        slot = this.#pool.blocks.tryTake();
      }
      const [{ contentClass, params }] = block.files as [FileEntry];
      const done = this.#pool.run({ type: 'block', slot, contentClass, params, pieces: block.pieces });
      // awaited in order below; an earlier failure may come first
      done.catch(() => undefined);
      this.#underWay.push({ slot, block, done });
    }
    while (this.#underWay.length > 0) await this.#takeOldest();
    return [...this.#unread].map(([file, status]) => ({ file, status }));
  }

  async #takeOldest(): Promise<void> {
    const oldest = this.#underWay.shift();
    if (!oldest) {
      // all slots are taken by someone else, for a moment
      this.#pool.blocks.release(await this.#pool.blocks.take());
      return;
    }
    await oldest.done;
    await this.#store(oldest.slot, oldest.block);
    this.#pool.blocks.release(oldest.slot);
  }

  async #store(slot: number, block: Block): Promise<void> {
    const { arena } = this.#pool;
    const place = blockPlace(slot);
    let { data } = place;
    let chunk = 0;
    for (const [i, piece] of block.pieces.entries()) {
      const file = block.files[i] as FileEntry;
      const result = place.files + i * FILE_RESULT_BYTES;
      const [status, count] = arena.u32(result, 2) as unknown as [PieceStatus, number];
      if (status !== PIECE_STATUS.ok) this.#unread.set(file, status);
      else if (!this.#unread.has(file)) {
        const lengths = arena.u32(place.lengths + chunk * 4, count);
        const ids = arena.u32(place.ids + chunk * 16, count * 4);
        const checks = arena.u32(place.checks + chunk * 4, count);
        await this.#writer.add(file.contentClass, { data, lengths, ids, checks }, file.extents);
        if (piece.length === piece.stat.size) file.sha256 = asHash(arena.bytes(result + 8, 32));
        else this.#hashPiece(file, piece, arena.bytes(data, piece.length));
        this.#onBytes(piece.length, piece.offset + piece.length === file.stat.size ? 1 : 0);
      }
      chunk += count;
      data += piece.length;
    }
  }

  #hashPiece(file: FileEntry, piece: Piece, bytes: Buffer): void {
    if (this.#hash?.file !== file || piece.offset === 0) this.#hash = { file, hasher: createHash('sha256') };
    this.#hash.hasher.update(bytes);
    if (piece.offset + piece.length === file.stat.size) file.sha256 = asHash(this.#hash.hasher.digest());
  }
}

/** Groups small files of one class; cuts big ones into pieces of 4 MiB. */
function* toBlocks(files: Iterable<FileEntry>, root: string): Generator<Block> {
  let batch: Block = { files: [], pieces: [], bytes: 0 };
  for (const file of files) {
    const { size } = file.stat;
    const path = `${root}/${file.path}`;
    const fits =
      batch.bytes + size <= PIECE_BYTES &&
      batch.files.length < MAX_BLOCK_FILES &&
      batch.files[0]?.contentClass === file.contentClass &&
      batch.files[0].params === file.params;
    if (!fits && batch.files.length > 0) {
      yield batch;
      batch = { files: [], pieces: [], bytes: 0 };
    }
    if (size > PIECE_BYTES) yield* pieces(file, path);
    else {
      batch.files.push(file);
      batch.pieces.push({ path, stat: file.stat, offset: 0, length: size });
      batch.bytes += size;
    }
  }
  if (batch.files.length > 0) yield batch;
}

function* pieces(file: FileEntry, path: string): Generator<Block> {
  const { stat } = file;
  for (let offset = 0; offset < stat.size; offset += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, stat.size - offset);
    yield { files: [file], pieces: [{ path, stat, offset, length }], bytes: length };
  }
}
