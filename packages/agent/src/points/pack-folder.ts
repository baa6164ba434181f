import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_PACK_BYTES, PACK_GRANULE_BYTES, type PackId, packIdOf, readPackHeader } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { diskError, ensureFolder, onDisk, syncFolder, writeDurable } from '../local/files.ts';

const NAME = /^[0-9a-f]{64}$/;
const HEADER_BYTES = 108;

/** Packs as files named by their id. A file is there whole and durable, or not at all. */
export class PackFolder {
  readonly #dir: string;
  readonly #limit: () => number;
  #bytes: number | undefined;

  /** @param limit bytes that all packs together may take */
  constructor(dir: string, limit: () => number) {
    this.#dir = dir;
    this.#limit = limit;
    ensureFolder(dir);
  }

  /** Bytes of all packs. */
  get bytes(): number {
    this.#bytes ??= this.list().reduce((sum, id) => sum + this.size(id), 0);
    return this.#bytes;
  }

  /** @throws AgentError `disk-full` when the limit would be passed or the disk is full; `integrity` when it is not this pack */
  put(id: PackId, body: Uint8Array): 'stored' | 'existed' {
    if (packIdOf(body) !== id) throw damaged(id, 'it is not the pack that it is named');
    if (this.has(id)) return 'existed';
    const limit = this.#limit();
    if (this.bytes + body.length > limit)
      throw new AgentError('disk-full', `the points would take more than ${limit} bytes`, {
        key: 'error.points-full',
        hint: 'hint.points-full',
        params: { mb: Math.round(limit / 1e6) },
        details: { limit, used: this.bytes },
      });
    writeDurable(this.#path(id), body);
    this.#bytes = this.bytes + body.length;
    return 'stored';
  }

  /** The bytes of a pack, not verified. @throws AgentError `not-found`, `integrity` for what cannot be a pack or be read */
  get(id: PackId, into: (length: number) => Uint8Array): Uint8Array {
    return this.#reading(id, (file) => {
      const { size } = fstatSync(file);
      if (size === 0 || size > MAX_PACK_BYTES || size % PACK_GRANULE_BYTES !== 0)
        throw damaged(id, `a pack of ${size} bytes`);
      const buffer = into(size);
      for (let done = 0; done < size; ) {
        const read = readSync(file, buffer, done, size - done, done);
        if (read === 0) throw damaged(id, 'it became shorter');
        done += read;
      }
      return buffer;
    });
  }

  /** The mandate that a pack says it belongs to; nothing of it is verified. Undefined when it cannot be read. */
  ownerOf(id: PackId): string | undefined {
    try {
      return this.#reading(id, (file) => {
        const start = new Uint8Array(HEADER_BYTES);
        readSync(file, start, 0, HEADER_BYTES, 0);
        return readPackHeader(start).mandateRef;
      });
    } catch {
      return undefined; // whatever is wrong with it: nobody owns it
    }
  }

  has(id: PackId): boolean {
    return this.size(id) > 0;
  }

  /** 0 when there is no such pack. */
  size(id: PackId): number {
    return statSync(this.#path(id), { throwIfNoEntry: false })?.size ?? 0;
  }

  list(): PackId[] {
    return onDisk(this.#dir, () => readdirSync(this.#dir).filter((name) => NAME.test(name)) as PackId[]);
  }

  /** Removes packs; durable when it returns, and any part of it may be done after a crash. */
  remove(ids: readonly PackId[]): void {
    if (ids.length === 0) return;
    onDisk(this.#dir, () => {
      for (const id of ids) {
        rmSync(this.#path(id), { force: true });
        crashPoint('point-swept');
      }
      syncFolder(this.#dir);
    });
    this.#bytes = undefined;
  }

  #reading<T>(id: PackId, act: (file: number) => T): T {
    const path = this.#path(id);
    let file: number | undefined;
    try {
      file = openSync(path, 'r');
      return act(file);
    } catch (error) {
      throw readError(id, path, error);
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }

  #path(id: PackId): string {
    return join(this.#dir, id);
  }
}

/** A pack that the disk does not give back is a damaged one: the other points must still be told apart from it. */
function readError(id: PackId, path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return new AgentError('not-found', `no pack ${id}`, { details: { pack: id } });
  if (code === 'EIO' || code === 'EISDIR') return damaged(id, code);
  return diskError(error, path);
}

function damaged(id: PackId, reason: string): AgentError {
  return new AgentError('integrity', `pack ${id}: ${reason}`, {
    key: 'error.point-pack-damaged',
    params: { pack: id, reason },
    details: { pack: id },
  });
}
