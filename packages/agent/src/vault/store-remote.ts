import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import {
  type DeviceId,
  type Header,
  LOCK_DAYS,
  MAX_PACK_BYTES,
  PACK_GRANULE_BYTES,
  type PackId,
  parseFrame,
  type ServerId,
  type SnapshotId,
  type StoredFrame,
} from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { diskError } from '../local/files.ts';
import type { Warning } from './history-state.ts';
import { LOCAL_SUBSCRIPTION } from './journal-rules.ts';
import type { Account, Device, RawFrame, Remote, RemoteVault } from './remote.ts';

const FRAME_NAME = /^\d{10}$/;
const NOTHING = new Uint8Array(0);
/** The share is sealed under a key ring that may be gone: a kit needs none. */
const NO_SHARE = new Uint8Array(32);

export interface StoreOptions {
  /** `v/<vault>` of the copy: with `j/<seq>` and `p/<packId>` below it (SPEC 17). */
  readonly dir: string;
  readonly deviceId: DeviceId;
  readonly now: () => number;
  readonly warn: (warning: Warning) => void;
}

interface Journal {
  readonly frames: readonly RawFrame[];
  /** All headers, the newest last. */
  readonly headers: readonly [Header, ...Header[]];
  readonly serverId: ServerId;
  /** Which frame has the record of a snapshot. */
  readonly records: ReadonlyMap<string, number>;
}

/**
 * A vault in a copy of the Safe's bucket: plain files, as `rclone sync` or `aws s3 sync` leave them, without any server.
 * It only reads; whatever would write is refused. What it reads is as untrusted as what a server answers.
 */
export class StoreRemote implements Remote {
  readonly #options: StoreOptions;
  #journal: Journal | undefined;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** Who received what is in the copy. @throws AgentError `not-found` when there is no journal */
  get serverId(): ServerId {
    return this.#read().serverId;
  }

  /** The newest header of the journal. @throws AgentError `not-found` */
  get header(): Header {
    const { headers } = this.#read();
    return headers.at(-1) ?? headers[0];
  }

  /** The headers before the newest. */
  get earlierHeaders(): readonly Header[] {
    return this.#read().headers.slice(0, -1);
  }

  async account(): Promise<Account> {
    const { frames, serverId } = this.#read();
    return {
      number: '',
      serverId,
      deviceId: this.#options.deviceId,
      deviceState: 'active',
      receiptKeys: [],
      serverTime: this.#options.now(),
      subscription: { ...LOCAL_SUBSCRIPTION, maySend: false },
      quota: { bytes: 0, usedBytes: 0 },
      retentionDays: LOCK_DAYS,
      vault: 'exists',
      head: frames.length,
    };
  }

  async vault(): Promise<RemoteVault> {
    const { frames } = this.#read();
    const { vaultId, bytes } = this.header;
    return { vaultId, header: bytes, share: NO_SHARE, challenge: new Uint8Array(32), head: frames.length };
  }

  async *journal(after: number): AsyncIterable<RawFrame> {
    yield* this.#read().frames.slice(after);
  }

  async record(id: SnapshotId): Promise<Uint8Array> {
    const seq = this.#read().records.get(id);
    if (seq === undefined) throw new AgentError('not-found', `no record ${id}`);
    return this.#frame(seq).attachment;
  }

  /** A pack that lacks is damage to the copy, not something that a server let go: what does not need it is restored. */
  async getPack(id: PackId, into: (length: number) => Uint8Array): Promise<Uint8Array> {
    const path = this.#packPath(id);
    let file: number | undefined;
    try {
      file = openSync(path, 'r');
      const { size } = fstatSync(file);
      if (size === 0 || size > MAX_PACK_BYTES || size % PACK_GRANULE_BYTES !== 0)
        throw damaged(id, path, `a pack of ${size} bytes`);
      const buffer = into(size);
      for (let done = 0; done < size; ) {
        const read = readSync(file, buffer, done, size - done, done);
        if (read === 0) throw damaged(id, path, 'it became shorter');
        done += read;
      }
      return buffer;
    } catch (error) {
      if (error instanceof AgentError) throw error;
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw damaged(id, path, 'missing');
      if (code === 'EIO' || code === 'EISDIR') throw damaged(id, path, code);
      throw diskError(error, path);
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }

  async hasPack(id: PackId): Promise<boolean> {
    return existsSync(this.#packPath(id));
  }

  async keepPacks(ids: readonly PackId[]): Promise<PackId[]> {
    return ids.filter((id) => !existsSync(this.#packPath(id)));
  }

  async devices(): Promise<Device[]> {
    return [];
  }

  async seen(): Promise<void> {
    throw readsOnly(this.#options.dir);
  }

  async prove(): Promise<void> {
    throw readsOnly(this.#options.dir);
  }

  async putPack(): Promise<never> {
    throw readsOnly(this.#options.dir);
  }

  async append(): Promise<never> {
    throw readsOnly(this.#options.dir);
  }

  async heal(): Promise<never> {
    throw readsOnly(this.#options.dir);
  }

  #packPath(id: PackId): string {
    return join(this.#options.dir, 'p', id);
  }

  #read(): Journal {
    this.#journal ??= this.#load();
    return this.#journal;
  }

  /** The journal as far as it goes without a gap; what lies beyond one is told, since it cannot be verified. */
  #load(): Journal {
    const { dir, warn } = this.#options;
    const seqs = seqsIn(dir);
    const frames: RawFrame[] = [];
    const records = new Map<string, number>();
    const headers: Header[] = [];
    let serverId: ServerId | undefined;
    for (const seq of seqs) {
      const frame = seq === frames.length + 1 ? this.#tried(seq) : undefined;
      if (frame === undefined) {
        const path = framePath(dir, frames.length + 1);
        warn({
          code: 'store-journal-cut',
          params: { path, entries: seqs.filter((one) => one > frames.length).length },
        });
        break;
      }
      const { entry, attached, attachment, receipt } = frame;
      if (attached.type === 'header') headers.push(attached.header);
      if (attached.type === 'record') records.set(entry.subject, seq);
      serverId ??= receipt.serverId;
      frames.push({
        entry: entry.bytes,
        attachment: attached.type === 'record' ? NOTHING : attachment,
        receipt: receipt.encoded,
      });
    }
    const [first, ...more] = headers;
    if (first === undefined || serverId === undefined) throw noVault(dir);
    return { frames, headers: [first, ...more], serverId, records };
  }

  #tried(seq: number): StoredFrame | undefined {
    try {
      return this.#frame(seq);
    } catch {
      return undefined; // damaged: told by its name
    }
  }

  #frame(seq: number): StoredFrame {
    return parseFrame(new Uint8Array(readFileSync(framePath(this.#options.dir, seq))));
  }
}

function framePath(dir: string, seq: number): string {
  return join(dir, 'j', String(seq).padStart(10, '0'));
}

/** The numbers of the entries that are there, ascending. Files of another name (of a copying tool) are passed over. */
function seqsIn(dir: string): number[] {
  const folder = join(dir, 'j');
  try {
    const names = readdirSync(folder).filter((name) => FRAME_NAME.test(name));
    return names.map(Number).toSorted((a, b) => a - b);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw diskError(error, folder);
  }
}

function noVault(dir: string): AgentError {
  return new AgentError('not-found', `no vault in ${dir}`, {
    key: 'error.store-none',
    hint: 'hint.store-none',
    params: { path: dir },
  });
}

function damaged(id: PackId, path: string, reason: string): AgentError {
  return new AgentError('integrity', `pack ${id}: ${reason}`, {
    key: 'error.store-pack',
    params: { path, reason },
    details: { pack: id, path },
  });
}

/** What every command that would write says where only a copy of the bucket is known. */
export function readsOnly(dir: string): AgentError {
  return new AgentError('usage', `this computer only reads from a copy: ${dir}`, {
    key: 'error.store-read-only',
    hint: 'hint.store-read-only',
    params: { path: dir },
    details: { store: dir },
  });
}
