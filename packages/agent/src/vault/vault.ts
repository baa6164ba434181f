import { join } from 'node:path';
import {
  asSnapshotId,
  type DeviceId,
  type Entry,
  encodeLostHistory,
  equal,
  LOCK_DAYS,
  type MandateId,
  type MandateKeys,
  type MandateRef,
  openRecord,
  openSummary,
  type PackId,
  type PackRef,
  type SnapshotId,
  type SnapshotRecord,
  sealSummary,
  snapshotIdOf,
  systemRandom,
  type VaultKeys,
} from '@cresus-safe/protocol';
import type { Pool } from '../compute/pool.ts';
import { AgentError, toAgentError } from '../errors.ts';
import { ensureFolder } from '../local/files.ts';
import { checkAnchor, freezeWarning } from './anchor.ts';
import { type Appended, type AppendParts, append } from './append.ts';
import { ChunkIndex, dropPacks, type PackName } from './chunk-index.ts';
import type { Fate } from './fates.ts';
import { History } from './history.ts';
import type { SnapshotState, Step, Warning } from './history-state.ts';
import { HistoryBroken, syncHistory } from './history-sync.ts';
import type { Trust } from './history-verify.ts';
import { OwnRequests } from './own-requests.ts';
import { PackLearner } from './pack-learner.ts';
import { loadSheet, type PackSheet, placesOf } from './pack-sheet.ts';
import { type AnchorHow, type Pin, readPin, writePin } from './pin.ts';
import { isoDay } from './plan-days.ts';
import { PackReader } from './reader.ts';
import { adoptedKeys, withAdoption } from './receipt-keys.ts';
import type { Remote } from './remote.ts';
import type { SnapshotInfo, VaultOptions } from './vault-options.ts';
import { SnapshotWriter } from './writer.ts';

export type { Appended, AppendParts } from './append.ts';
export type { Fate } from './fates.ts';
export type { SnapshotState, Step, Warning } from './history-state.ts';
export { isDamage, PackReader } from './reader.ts';
export type { SnapshotInfo, VaultOptions } from './vault-options.ts';

/**
 * Syncs with the server, verifies what it shows and opens the vault.
 * @throws AgentError `rollback`, `fork`, `omission`, `integrity`, `wrong-server`; with mode 'read' or 'look' and a history of our own
 *   the first four are kept in `Vault.broken` instead
 */
export async function openVault(options: VaultOptions): Promise<Vault> {
  ensureFolder(options.dir);
  const { pin } = readPin(options.dir);
  const trust = { vaultId: options.keys.vaultId, ...adoptedKeys(options.server, pin) };
  const history = History.load(options.dir, trust, options.warn, options.mode !== 'look');
  const vault = new Vault(options, trust, history);
  try {
    await vault.sync();
    vault.confirm();
  } catch (error) {
    const broken = toAgentError(error);
    const readable = ['rollback', 'fork', 'omission', 'integrity'].includes(broken.kind) && history.seq > 0;
    if ((options.mode ?? 'write') === 'write' || !readable) throw broken;
    vault.broken = broken;
    options.warn({ code: 'history-broken', params: { kind: broken.kind } });
  }
  vault.anchorOwn();
  for (const warning of history.state.warnings) options.warn(warning);
  freezeWarning(history.head, options);
  return vault;
}

/** The subscriber's vault: verified history, snapshots, and the one way to append. */
export class Vault {
  readonly remote: Remote;
  readonly dir: string;
  readonly deviceId: DeviceId;
  readonly history: History;
  readonly now: () => number;
  readonly warn: (warning: Warning) => void;
  readonly random: (n: number) => Uint8Array;
  /** Why writing is refused: the server shows another history than the one held. */
  broken: AgentError | undefined;
  readonly requests: OwnRequests;
  /** How long the server promised to keep what was forgotten, days. */
  readonly lockDays: number;
  readonly #server: VaultOptions['server'];
  /** Of mode 'look': the pin as it was before anything was asked, since another run may change it meanwhile. */
  readonly #looking: { readonly pin: Pin | undefined } | undefined;
  readonly #mandates = new Map<MandateId, MandateKeys>();
  #keys: VaultKeys;
  /** The keys of a rotation under way: they count once the history shows their header. */
  #next: VaultKeys | undefined;
  #trust: Trust;

  constructor(options: VaultOptions, trust: Trust, history: History) {
    this.#keys = options.keys;
    this.remote = options.remote;
    this.dir = options.dir;
    this.deviceId = options.deviceId;
    this.history = history;
    this.now = options.now;
    this.warn = options.warn;
    this.random = options.random ?? systemRandom;
    this.requests = new OwnRequests(options.dir);
    this.lockDays = options.lockDays ?? LOCK_DAYS;
    this.#server = options.server;
    this.#looking = options.mode === 'look' ? readPin(options.dir) : undefined;
    this.#trust = trust;
  }

  get keys(): VaultKeys {
    return this.#keys;
  }

  get trust(): Trust {
    return this.#trust;
  }

  get pin(): Pin | undefined {
    return (this.#looking ?? readPin(this.dir)).pin;
  }

  /** Takes over what the server shows beyond the held history, after verifying it. @throws as `openVault` */
  async sync(): Promise<void> {
    const { dir, remote, history, warn, now } = this;
    const healFrames = async (from: number): Promise<Uint8Array[]> =>
      this.requests.healFrames(history.state, from, (step) => this.#keysOfStep(step));
    await this.trusting((trust) => syncHistory({ dir, remote, history, trust, warn, now, healFrames }));
    this.#checkKeys();
  }

  /** Runs `act`; when it meets a receipt by an unknown key, adopts what the pinned keys endorse and runs it again. */
  async trusting<T>(act: (trust: Trust) => Promise<T>): Promise<T> {
    return withAdoption(this.remote, this.#server, this.#trust, act, (trust) => {
      this.#trust = trust;
      const { pin } = this;
      if (pin !== undefined) this.#keepPin({ ...pin, receiptKeys: [...trust.receiptKeys] });
    });
  }

  /** Whether this computer must be given an anchor, or consent, before its first write (SPEC 2: a new device has none). */
  get anchorNeeded(): boolean {
    return this.pin?.anchored == null;
  }

  /**
   * Anchors the history to what another computer, the kit or an exported receipt says.
   * @throws AgentError `rollback` when the other knows more than the server shows, `fork` when it knows something else, `usage`
   */
  anchor(proof: { code: string } | { receipt: Uint8Array } | { consent: true }): void {
    const how: AnchorHow = 'code' in proof ? 'code' : 'receipt' in proof ? 'receipt' : 'consent';
    const seq = 'consent' in proof ? this.history.seq : checkAnchor(this.history.state, this.#trust, proof);
    this.setAnchored(how, seq);
  }

  /** From now on what the pin says is held against the server: its history belongs to it. */
  confirm(): void {
    const { pin } = this;
    if (pin?.confirmed === false) this.#keepPin({ ...pin, confirmed: true });
  }

  /** The computer that made the vault needs no anchor, also when it was killed before it could note that. */
  anchorOwn(): void {
    const [first] = this.history.state.steps;
    if (this.pin?.anchored === null && first !== undefined && this.requests.made(first)) this.setAnchored('created', 1);
  }

  setAnchored(how: AnchorHow, seq: number): void {
    const { pin } = this;
    if (pin === undefined) throw new AgentError('unexpected', 'no pin to anchor');
    this.#keepPin({ ...pin, anchored: { how, seq } });
  }

  #keepPin(pin: Pin): void {
    if (this.#looking === undefined) writePin(this.dir, pin);
  }

  /** Snapshots that are not forgotten, oldest first, their summaries opened. */
  snapshots(ref?: MandateRef): SnapshotInfo[] {
    return this.history.snapshots(ref).flatMap((state) => this.#info(state) ?? []);
  }

  /** Every snapshot that the history tells of, oldest first: also those forgotten, and those that are let go. */
  everySnapshot(ref?: MandateRef): SnapshotInfo[] {
    const all = [...this.history.state.snapshots.values()].filter(
      ({ mandateRef }) => ref === undefined || mandateRef === ref,
    );
    return all.flatMap((state) => this.#info(state) ?? []);
  }

  /** What became of a snapshot by now. */
  fate({ id, mandateRef }: Pick<SnapshotInfo, 'id' | 'mandateRef'>): Fate {
    const fate = this.history.fates(mandateRef, this.now(), this.lockDays).get(id);
    if (fate === undefined) throw new AgentError('unexpected', `snapshot ${id} has no fate`);
    return fate;
  }

  /** Whether the server may have let a snapshot go by now: forgotten and past the lock, or by the plan (SPEC 13). */
  mayBeGone(id: SnapshotId): boolean {
    return this.history.mayBeGone(id, this.now(), this.lockDays);
  }

  /** The error of a snapshot that was let go rightly: it says since when, and why. */
  letGo(id: SnapshotId): AgentError {
    const { mandateRef } = this.history.state.snapshots.get(id) ?? {};
    const fate = mandateRef && this.fate({ id, mandateRef });
    if (fate?.state !== 'freed') return new AgentError('not-found', `no snapshot ${id}`);
    const freedOn = isoDay(fate.freedOn);
    return new AgentError('not-found', `snapshot ${id} was let go on ${freedOn}`, {
      key: `error.freed-by-${fate.by}`,
      hint: 'hint.none',
      params: { id: id.slice(0, 8), date: freedOn.split('-').toReversed().join('.') },
      details: { id, freedOn, by: fate.by },
    });
  }

  /** One snapshot, also a forgotten one. @throws AgentError `not-found` */
  snapshot(id: SnapshotId): SnapshotInfo {
    const state = this.history.state.snapshots.get(id);
    const info = state === undefined ? undefined : this.#info(state);
    if (info === undefined)
      throw new AgentError('not-found', `no snapshot ${id}`, { key: 'error.no-snapshot', params: { id } });
    return info;
  }

  /**
   * The record of a snapshot: held here or fetched, its hash compared, opened.
   * @throws AgentError `omission` when it is gone and should not be, `not-found`, `integrity`
   */
  async record(id: SnapshotId): Promise<SnapshotRecord> {
    const { mandateId } = this.snapshot(id);
    const step = this.history.state.snapshots.get(id)?.step;
    const held = step === undefined ? undefined : this.requests.recordOf(step);
    const sealed = held ?? (await this.#fetchRecord(id));
    try {
      const record = openRecord(this.mandate(mandateId), sealed);
      if (held === undefined && this.#looking === undefined) this.requests.keepRecord(id, sealed);
      return this.#asReplaced(record);
    } catch (error) {
      throw toAgentError(error);
    }
  }

  /** The record with its packs under the names that they have today (SPEC 13). */
  #asReplaced(record: SnapshotRecord): SnapshotRecord {
    if (this.history.state.replacements.size === 0) return record;
    const { ref } = this.mandate(record.mandateId);
    const packs = record.packs.map(({ packRef, packId }) => {
      return { packRef, packId: this.replacementOf(ref, packRef, packId) };
    });
    return { ...record, packs };
  }

  /** The pack that took the place of a lost one; itself when none did. */
  replacementOf(ref: MandateRef, packRef: PackRef, packId: PackId): PackId {
    return this.history.state.replacementOf(ref, packRef, packId);
  }

  /** What sealing a pack again takes, as far as this computer sealed it first. */
  packSheet(ref: MandateRef, packRef: PackRef): PackSheet | undefined {
    return loadSheet(this.mandateDir(ref), this.keys.cacheKeys(), ref, packRef);
  }

  /** A pack that was sealed again here may be deduplicated against under its new name. */
  async learnPack(ref: MandateRef, packRef: PackRef, packId: PackId, { segments, ids }: PackSheet): Promise<void> {
    const index = ChunkIndex.load(this.mandateDir(ref), this.keys.cacheKeys(), ref, this.warn);
    try {
      await index.acknowledge(index.addPack(packRef), packId, ids, placesOf(segments));
    } finally {
      await index.close();
    }
  }

  /** As `giveUpPacks`, of those only on which the next send would rely. */
  async giveUpKnown(ref: MandateRef, lost: ReadonlySet<PackId>, named: readonly PackName[]): Promise<void> {
    const index = ChunkIndex.load(this.mandateDir(ref), this.keys.cacheKeys(), ref, this.warn);
    const known = index.among(lost);
    await index.close();
    if (known.length > 0 || named.some(({ packId }) => lost.has(packId))) await this.giveUpPacks(ref, known);
  }

  /** Gives the server back records that it lost, as far as they are held here. */
  async giveBack(seqs: readonly number[]): Promise<void> {
    const steps = seqs.flatMap((seq) => this.history.state.steps[seq - 1] ?? []);
    const frames = steps.flatMap((step) => this.requests.framesOf([step], (of) => this.#keysOfStep(of)));
    for (const frame of frames) await this.remote.heal(frame);
  }

  /** Keys of a mandate. */
  mandate(mandateId: MandateId): MandateKeys {
    const known = this.#mandates.get(mandateId) ?? this.keys.mandate(mandateId);
    this.#mandates.set(mandateId, known);
    return known;
  }

  /** Fetches packs. */
  reader(signal?: AbortSignal): PackReader {
    return new PackReader(this.remote, signal);
  }

  /** Makes snapshots of a mandate; packs first, then the one journal request. */
  writer(mandateId: MandateId, pool: Pool, signal?: AbortSignal): SnapshotWriter {
    const { remote, keys, now, random, warn } = this;
    const mandate = this.mandate(mandateId);
    const { ref: mandateRef } = mandate;
    return new SnapshotWriter({
      dir: this.mandateDir(mandateRef),
      ...{ remote, keys, mandate, pool, now, random, warn },
      ...(signal === undefined ? {} : { signal }),
      append: (kind, { summary, ...parts }) =>
        this.append(kind, {
          ...parts,
          summary: sealSummary(keys, { ...summary, mandateId, kind, mandateRef }, random),
        }),
    });
  }

  /** Teaches this computer's chunk index the packs that a restore opens whole. */
  learner(mandateId: MandateId): PackLearner {
    const { ref } = this.mandate(mandateId);
    return PackLearner.open(this.mandateDir(ref), this.keys.cacheKeys(), ref, this.warn);
  }

  /** Makes the next send store again what these packs held: the server lost or damaged them. */
  async giveUpPacks(ref: MandateRef, ids: readonly PackId[]): Promise<void> {
    if (this.#looking === undefined) await dropPacks(this.mandateDir(ref), this.keys.cacheKeys(), ref, ids);
    else this.warn({ code: 'repair-later' });
  }

  /** Folder of a mandate's caches; what is in it may be deleted at any time. */
  mandateDir(ref: MandateRef): string {
    return join(this.dir, 'mandates', ref);
  }

  /**
   * Appends one entry on top of the verified head: signs it anew when another device was faster, finds it again when an
   * answer was lost, and believes nothing without the server's receipt for exactly this entry (MS-22, MS-23).
   * @throws MissingPacks, AgentError `acceptance-missing` without an anchor, `rollback`, `fork`, … when broken
   */
  append(kind: Entry['kind'], parts: AppendParts = {}): Promise<Appended> {
    if (this.#looking !== undefined) throw new AgentError('unexpected', 'this run only looks');
    if (this.broken !== undefined) throw this.broken;
    if (this.history.seq > 0 && this.anchorNeeded)
      throw new AgentError('acceptance-missing', 'this computer has no anchor yet', {
        key: 'error.anchor-missing',
        hint: 'hint.anchor-missing',
      });
    return append(this, kind, parts);
  }

  /**
   * Gives up the part of the held history that the server no longer shows, for good and for all devices: an entry
   * records what was lost, and other devices adopt it. Needs the typed secret, which the caller asks for.
   * @returns how many entries were given up
   */
  async acceptHistory(): Promise<number> {
    const { broken } = this;
    if (!(broken instanceof HistoryBroken))
      throw new AgentError('usage', 'there is no broken history to accept', { key: 'error.nothing-to-accept' });
    const { base, shown } = broken.divergence;
    const lost = this.history.state.steps.slice(base);
    const attachment = encodeLostHistory({ base, lostHead: this.history.seq, hashes: lost.map(({ chain }) => chain) });
    // a crash after the server took the entry is harmless: the next sync finds it and adopts it
    await append(this, 'rollback-accepted', { attachment }, shown.branch());
    this.broken = undefined;
    if (this.anchorNeeded) this.setAnchored('consent', this.history.seq);
    return lost.length;
  }

  /**
   * Runs `act`, which appends the header of the generation that `next` begins; from then on the vault works with these
   * keys, and the ones before are wiped.
   */
  async turnTo(next: VaultKeys, act: () => Promise<void>): Promise<void> {
    this.#next = next;
    try {
      await act();
      this.#turn();
    } finally {
      this.#next = undefined;
    }
  }

  /** Takes the keys of a rotation into use when the history shows their header. */
  #turn(): void {
    const { header } = this.history.state;
    if (this.#next === undefined || header === undefined || !equal(header.publicKey, this.#next.publicKey)) return;
    const before = this.#keys;
    this.#keys = this.#next;
    this.#next = undefined;
    this.#mandates.clear();
    before.wipe();
  }

  async #fetchRecord(id: SnapshotId): Promise<Uint8Array> {
    try {
      for (let tries = 1; ; tries += 1) {
        const sealed = await this.remote.record(id);
        if (snapshotIdOf(sealed) === id) return sealed;
        if (tries === 2)
          throw new AgentError('integrity', `record ${id} is damaged`, { key: 'error.record-damaged', params: { id } });
      }
    } catch (error) {
      throw this.missing(id, error);
    }
  }

  /** What a "not found" means for a snapshot's record or pack: an omission, unless forgetting or the plan let it go. */
  missing(id: SnapshotId, error: unknown): unknown {
    if (!(error instanceof AgentError) || error.kind !== 'not-found') return error;
    if (this.mayBeGone(id)) return this.letGo(id);
    const details = { snapshot: id, ...('code' in error.details ? { reason: error.details['code'] } : {}) };
    return new AgentError('omission', `the server no longer gives snapshot ${id}`, {
      params: { id },
      details,
      cause: error,
    });
  }

  #info(state: SnapshotState): SnapshotInfo | undefined {
    const { id, mandateRef, step, forgottenAt, holdUntil } = state;
    const { entry, receipt } = step;
    try {
      const { deviceId, seq } = entry;
      const summary = openSummary(this.keys, entry);
      return { ...summary, id, seq, mandateRef, deviceId, receivedAt: receipt.time, forgottenAt, holdUntil, receipt };
    } catch (error) {
      this.warn({ code: 'summary-damaged', params: { seq: entry.seq, reason: toAgentError(error).message } });
      return undefined;
    }
  }

  #keysOfStep({ entry }: Step): MandateKeys | undefined {
    const state = this.history.state.snapshots.get(asSnapshotId(entry.subject));
    const info = state === undefined ? undefined : this.#info(state);
    return info === undefined ? undefined : this.mandate(info.mandateId);
  }

  /** Ties the history to the keys that the header opened: a chain of another key, however consistent, is none of ours. */
  #checkKeys(): void {
    const { header, generation } = this.history.state;
    if (header === undefined)
      throw new AgentError('integrity', 'the server shows a header but no history', {
        key: 'error.history',
        params: { reason: 'empty' },
      });
    this.#turn();
    if (generation > this.keys.generation)
      throw new AgentError('wrong-secret', 'another device rotated the keys', {
        key: 'error.rotated',
        hint: 'hint.rotated',
        details: { generation },
      });
    const { pin } = this;
    const older = pin !== undefined && header.headerSeq < pin.headerSeq;
    const other = pin !== undefined && header.headerSeq === pin.headerSeq && header.hash !== pin.headerHash;
    if (older || other || !Buffer.from(header.publicKey).equals(this.keys.publicKey))
      throw new AgentError('integrity', 'the header is not the one of the history', {
        key: 'error.history',
        params: { reason: 'header' },
      });
  }
}
