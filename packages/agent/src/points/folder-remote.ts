import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  asSnapshotId,
  equal,
  type JournalRequest,
  type PackId,
  packListHash,
  parseHeal,
  parseRequest,
  type SnapshotId,
  snapshotIdOf,
  verifyReceipt,
} from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { ensureFolder, onDisk, readIfThere, syncFolder, writeDurable } from '../local/files.ts';
import { History } from '../vault/history.ts';
import type { HistoryState, Warning } from '../vault/history-state.ts';
import type { Trust } from '../vault/history-verify.ts';
import { frameOf, LOCAL_SUBSCRIPTION, requireNext, signReceipt } from '../vault/journal-rules.ts';
import {
  type Account,
  type Device,
  MissingPacks,
  type RawFrame,
  type Remote,
  type RemoteVault,
} from '../vault/remote.ts';
import { PackFolder } from './pack-folder.ts';
import type { PointsIdentity } from './root.ts';

const SNAPSHOT = /^[0-9a-f]{64}$/;
const NO_SHARE = new Uint8Array(32);

export interface FolderOptions {
  readonly dir: string;
  readonly identity: PointsIdentity;
  readonly deviceName: string;
  /** Bytes that all packs together may take. */
  readonly limit: () => number;
  readonly now: () => number;
  readonly warn: (warning: Warning) => void;
}

/**
 * A vault on a disk of this computer: `history.log` (the journal, with receipts that the points' own key signs),
 * `snapshots/<id>` (the request of a snapshot that lives: pack list and sealed record), `packs/<id>`, `share.bin`.
 * It takes what a server takes, in the same order, and gives the same refusals. Who holds the home's lock is its only
 * writer. A snapshot counts when its line of the journal is durable; everything else is written before.
 */
export class FolderRemote implements Remote {
  readonly packs: PackFolder;
  readonly #options: FolderOptions;
  readonly #trust: Trust;
  readonly #history: History;

  constructor(options: FolderOptions) {
    const { dir, identity, limit, warn } = options;
    ensureFolder(join(dir, 'snapshots'));
    this.#options = options;
    this.packs = new PackFolder(join(dir, 'packs'), limit);
    const { vaultId, serverId, receiptKey } = identity;
    this.#trust = { vaultId, serverId, receiptKeys: [receiptKey] };
    this.#history = History.load(dir, this.#trust, warn);
  }

  /** What the journal says; to be read only. */
  get state(): HistoryState {
    return this.#history.state;
  }

  /**
   * Takes back steps that a damaged journal lost, from a copy of the history: only whole ones that follow and that this
   * store itself signed. @returns how many
   */
  takeBack(frames: readonly RawFrame[]): number {
    const before = this.state.seq;
    for (const frame of frames.slice(before)) this.#history.accept(frame, this.#trust);
    return this.state.seq - before;
  }

  async account(): Promise<Account> {
    const { identity, limit } = this.#options;
    return {
      number: '',
      serverId: identity.serverId,
      deviceId: identity.deviceId,
      deviceState: 'active',
      receiptKeys: this.#trust.receiptKeys,
      serverTime: this.#options.now(),
      subscription: LOCAL_SUBSCRIPTION,
      quota: { bytes: limit(), usedBytes: this.packs.bytes },
      retentionDays: 0,
      vault: this.state.seq === 0 ? 'none' : 'exists',
      head: this.state.seq,
    };
  }

  /** Nobody watches for silence here. */
  async seen(): Promise<void> {
    return;
  }

  async vault(): Promise<RemoteVault | undefined> {
    const { header, seq } = this.state;
    if (header === undefined) return undefined;
    const kept = readIfThere(join(this.#options.dir, 'share.bin'));
    // only the secret slot needs the share, and nobody knows that slot's secret (see root.ts)
    const share = kept?.length === NO_SHARE.length ? Uint8Array.from(kept) : NO_SHARE;
    return { vaultId: header.vaultId, header: header.bytes, share, challenge: new Uint8Array(32), head: seq };
  }

  /** Whoever can read the folder is its device. */
  async prove(): Promise<void> {
    return;
  }

  async putPack(id: PackId, body: Uint8Array, signal?: AbortSignal): Promise<'stored' | 'existed'> {
    signal?.throwIfAborted();
    return this.packs.put(id, body);
  }

  async getPack(id: PackId, into: (length: number) => Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    return this.packs.get(id, into);
  }

  async hasPack(id: PackId): Promise<boolean> {
    return this.packs.has(id);
  }

  async keepPacks(ids: readonly PackId[]): Promise<PackId[]> {
    return this.#missing(ids);
  }

  async append(bytes: Uint8Array): Promise<{ seq: number; receipt: Uint8Array }> {
    const request = parseRequest(bytes.slice());
    const { entry, packIds } = request;
    const there = this.state.steps[entry.seq - 1];
    if (there !== undefined && equal(there.entry.bytes, entry.bytes))
      return { seq: entry.seq, receipt: there.raw.receipt };
    requireNext(entry, this.state.seq, this.state.tip);
    const missing = this.#missing(packIds);
    if (missing.length > 0) throw new MissingPacks(missing);
    const size = packIds.reduce((sum, id) => sum + this.packs.size(id), 0);
    const { serverId, receiptKey, seed } = this.#options.identity;
    const signer = { serverId, keyId: receiptKey.keyId, seed };
    const receipt = signReceipt(signer, entry, size, this.#options.now());
    this.#store(request, bytes, receipt);
    return { seq: entry.seq, receipt };
  }

  async *journal(after: number): AsyncIterable<RawFrame> {
    yield* this.state.steps.slice(after).map(({ raw }) => raw);
  }

  async record(id: SnapshotId): Promise<Uint8Array> {
    const request = this.requestOf(id);
    if (request !== undefined) return request.attachment;
    throw new AgentError('not-found', `no record ${id}`, { details: { snapshot: id } });
  }

  async heal(frames: Uint8Array): Promise<void> {
    for (const { request, requestBytes, receipt } of parseHeal(frames.slice())) {
      verifyReceipt(receipt, [...this.#trust.receiptKeys], this.#trust.serverId);
      if (request.entry.seq <= this.state.seq) continue;
      requireNext(request.entry, this.state.seq, this.state.tip);
      this.#store(request, requestBytes, receipt.encoded);
    }
  }

  async devices(): Promise<Device[]> {
    const { identity, deviceName } = this.#options;
    const name = deviceName;
    return [{ deviceId: identity.deviceId, name, state: 'active', createdAt: 0, lastSeenAt: null, current: true }];
  }

  /** The request that made a snapshot; undefined when its file is gone or holds anything else. */
  requestOf(id: SnapshotId): JournalRequest | undefined {
    const file = readIfThere(this.#snapshotPath(id));
    if (file === undefined) return undefined;
    try {
      const request = parseRequest(Uint8Array.from(file));
      // its own entry may be of a journal that was renewed: the record's name and the list's hash bind what is used of it
      const listed = this.state.snapshots.get(id)?.step.entry.packListHash;
      const isIt = snapshotIdOf(request.attachment) === id && packListHash(request.packIds) === listed;
      return isIt ? request : undefined;
    } catch {
      return undefined; // damaged: as good as none
    }
  }

  /** Snapshots that have a file here, whether the journal knows them or not. */
  listed(): SnapshotId[] {
    const folder = join(this.#options.dir, 'snapshots');
    return onDisk(folder, () => readdirSync(folder).filter((name) => SNAPSHOT.test(name)) as SnapshotId[]);
  }

  /** Removes the files of snapshots. */
  removeSnapshots(ids: readonly SnapshotId[]): void {
    if (ids.length === 0) return;
    const folder = join(this.#options.dir, 'snapshots');
    onDisk(folder, () => {
      for (const id of ids) rmSync(this.#snapshotPath(id), { force: true });
      syncFolder(folder);
    });
  }

  #store(request: JournalRequest, bytes: Uint8Array, receipt: Uint8Array): void {
    const { entry, share } = request;
    if (entry.kind === 'snapshot-add') writeDurable(this.#snapshotPath(asSnapshotId(entry.subject)), bytes);
    if (share.length > 0) writeDurable(join(this.#options.dir, 'share.bin'), share);
    crashPoint('point-request');
    // checks place, header and signature: an entry by another key gets no line
    this.#history.accept(frameOf(request, receipt), this.#trust);
    crashPoint('point-journal');
  }

  #missing(ids: readonly PackId[]): PackId[] {
    return ids.filter((id) => !this.packs.has(id));
  }

  #snapshotPath(id: SnapshotId): string {
    return join(this.#options.dir, 'snapshots', id);
  }
}
