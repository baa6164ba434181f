import { join } from 'node:path';
import {
  CONTENT_CLASS,
  type ContentClass,
  comparePackIds,
  type EntryKind,
  type Extent,
  type MandateKeys,
  type MandateRef,
  type PackId,
  type PackRef,
  pushExtent,
  type Random,
  type Receipt,
  type SnapshotId,
  type SnapshotRecord,
  sealRecord,
  snapshotIdOf,
  systemRandom,
  type VaultKeys,
} from '@cresus-safe/protocol';
import { SEGMENT_BYTES } from '../compute/arena.ts';
import type { Pool } from '../compute/pool.ts';
import { crashPoint } from '../local/crash.ts';
import { removeDurable } from '../local/files.ts';
import { type WrittenCatalog, writeCatalog } from './catalog-chunks.ts';
import { ChunkIndex, FILE_CACHE, type IndexWarning, type PackName } from './chunk-index.ts';
import type { ChunkRun } from './chunk-run.ts';
import { type OpenSegment, PackBuilder } from './pack-builder.ts';
import { keepSheet } from './pack-sheet.ts';
import { MissingPacks, type Remote } from './remote.ts';

const KEEP_EVERY_MS = 3_600_000;

/** What the writer needs around it. */
export interface WriterDeps {
  /** The mandate's folder of caches, `vault/mandates/<mandateRef>`. */
  readonly dir: string;
  readonly remote: Remote;
  readonly keys: VaultKeys;
  readonly mandate: MandateKeys;
  readonly pool: Pool;
  readonly signal?: AbortSignal;
  readonly now: () => number;
  readonly random?: Random;
  readonly warn: (warning: IndexWarning) => void;
  /** One journal entry on top of the head; throws MissingPacks when the server lacks some of the packs. */
  readonly append: (
    kind: EntryKind,
    fields: { mandateRef: MandateRef; packIds: readonly PackId[]; attachment: Uint8Array; summary: SummaryFields },
  ) => Promise<{ entry: { seq: number }; receipt: Receipt }>;
}

/** What the entry's sealed summary tells. */
export interface SummaryFields {
  readonly mandateName: string;
  readonly comment: string;
  readonly files: number;
  readonly bytes: number;
  readonly createdAt: number;
  readonly incomplete: boolean;
}

/** The fields of a record that the writer does not know itself. */
export type RecordFields = Omit<
  SnapshotRecord,
  'vaultId' | 'mandateId' | 'generation' | 'newBytes' | 'packs' | 'catalog'
>;

export interface Committed {
  readonly id: SnapshotId;
  readonly seq: number;
  readonly receipt: Receipt;
  readonly packs: readonly PackName[];
}

/**
 * The only way to make a snapshot: chunks become segments, segments packs, packs are acknowledged, and only then is the
 * record appended to the journal. Nothing else can be done in another order. It costs nothing until the first chunk.
 */
export class SnapshotWriter {
  readonly #deps: WriterDeps;
  readonly #stored = new Map<PackRef, PackId>();
  readonly #sending = new Set<Promise<void>>();
  /** Numbers of packs in which chunks were found: of older snapshots, or of a run that was interrupted. */
  readonly #reused = new Set<number>();
  #index: ChunkIndex | undefined;
  #pack: PackBuilder | undefined;
  #segment: OpenSegment | undefined;
  #failure: { error: unknown } | undefined;
  #lastKeep: number;
  #lastNames: readonly PackName[] = [];
  newBytes = 0;
  sentBytes = 0;
  reusedBytes = 0;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
    this.#lastKeep = deps.now();
    deps.pool.useMandate(deps.mandate);
  }

  /** Tells which packs the last snapshot named: files that did not change may name them again. */
  relyOn(names: readonly PackName[]): void {
    this.#lastNames = names;
    for (const { packRef, packId } of names) this.#stored.set(packRef, packId);
  }

  /** Whether a file that did not change may go on naming these extents. */
  knows(extents: readonly Extent[]): boolean {
    return extents.every(({ packRef }) => this.#stored.has(packRef));
  }

  /** Stores a run of chunks of one class, except those that are stored already; tells where all of them lie. */
  async add(contentClass: ContentClass, run: ChunkRun, extents: Extent[]): Promise<void> {
    const index = this.#loadIndex();
    let at = run.data;
    for (let i = 0; i < run.lengths.length; i++) {
      const length = run.lengths[i] as number;
      if (index.find(run.ids, i * 4)) {
        const { pack, segment, offset } = index.found;
        this.#reused.add(pack);
        if (contentClass !== CONTENT_CLASS.catalog) this.reusedBytes += length;
        pushExtent(extents, index.packRef(pack), segment, offset, length);
      } else {
        const segment = this.#room(contentClass, length) ?? (await this.#nextSegment(contentClass));
        this.#place(index, segment, run, i, at, extents);
      }
      at += length;
    }
  }

  #room(contentClass: ContentClass, length: number): OpenSegment | undefined {
    const segment = this.#segment;
    return segment?.contentClass === contentClass && segment.length + length <= SEGMENT_BYTES ? segment : undefined;
  }

  #place(index: ChunkIndex, segment: OpenSegment, run: ChunkRun, i: number, at: number, extents: Extent[]): void {
    const length = run.lengths[i] as number;
    const pack = this.#pack as PackBuilder;
    const offset = segment.length;
    this.#deps.pool.arena.move(segment.address + offset, at, length);
    segment.length += length;
    segment.chunkLengths.push(length);
    index.set(run.ids, i * 4, pack.number, segment.ordinal, offset);
    for (let word = 0; word < 4; word++) pack.ids.push(run.ids[i * 4 + word] as number);
    pack.places.push(segment.ordinal, offset);
    pack.checks.push(run.checks[i] as number);
    if (segment.contentClass !== CONTENT_CLASS.catalog) this.newBytes += length;
    pushExtent(extents, pack.start.packRef, segment.ordinal, offset, length);
  }

  async #nextSegment(contentClass: ContentClass): Promise<OpenSegment> {
    this.#closeSegment();
    if (this.#pack?.isFull) this.#closePack();
    this.#pack ??= this.#newPack();
    this.#segment = await this.#pack.open(contentClass);
    this.#checkFailure();
    return this.#segment;
  }

  #newPack(): PackBuilder {
    const { pool, mandate, keys, random } = this.#deps;
    const index = this.#loadIndex();
    return new PackBuilder(pool, mandate, keys.generation, ({ packRef }) => index.addPack(packRef), random);
  }

  #closeSegment(): void {
    if (this.#segment) this.#pack?.close(this.#segment);
    this.#segment = undefined;
  }

  #closePack(): void {
    const pack = this.#pack;
    if (!pack) return;
    this.#pack = undefined;
    const sending = this.#send(pack)
      .catch((error: unknown) => {
        this.#failure ??= { error };
        // whoever waits for a slot that this pack would have freed must wake up
        void this.#deps.pool.close(error);
      })
      .finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }

  /** Three packs fit the arena, so at most three are under way. */
  async #send(pack: PackBuilder): Promise<void> {
    const { remote, signal } = this.#deps;
    const { packId, body } = await pack.finish();
    await remote.putPack(packId, body, signal);
    this.sentBytes += body.length;
    crashPoint('pack-acked');
    // only now: a pack that was not acknowledged is never relied on (MS-25)
    await this.#loadIndex().acknowledge(pack.number, packId, Uint32Array.from(pack.ids), Uint32Array.from(pack.places));
    this.#stored.set(pack.start.packRef, packId);
    this.#keepSheet(pack);
    pack.release();
    await this.#keep();
  }

  /** Only a server can lose a pack while this disk has what it held. */
  #keepSheet({ start, sheet }: PackBuilder): void {
    const { dir, keys, mandate, remote } = this.#deps;
    if (remote.damage !== undefined) keepSheet(dir, keys.cacheKeys(), mandate.ref, start.packRef, sheet);
  }

  /** A first send may take longer than the grace of packs that no snapshot names yet, or no longer. */
  async #keep(): Promise<void> {
    const now = this.#deps.now();
    if (now - this.#lastKeep < KEEP_EVERY_MS) return;
    this.#lastKeep = now;
    const index = this.#loadIndex();
    const reused = [...this.#reused].flatMap((pack) => index.packId(index.packRef(pack)) ?? []);
    await this.#deps.remote.keepPacks([...new Set([...this.#stored.values(), ...reused])]);
  }

  #checkFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /** Writes the catalog as the last thing before the commit, so that it lies in the pack it describes. */
  async writeCatalog(pieces: Iterable<Uint8Array>): Promise<WrittenCatalog> {
    const written = await writeCatalog(this.#deps.pool, pieces, (run, extents) =>
      this.add(CONTENT_CLASS.catalog, run, extents),
    );
    await this.#flush();
    return written;
  }

  /** Resolves when everything added so far is acknowledged by the server. */
  async #flush(): Promise<void> {
    this.#closeSegment();
    this.#closePack();
    while (this.#sending.size > 0) await Promise.all(this.#sending);
    this.#checkFailure();
  }

  /**
   * Appends the record of the snapshot to the journal.
   * @param used packRefs that the catalog's extents and its own place name
   * @returns the packRefs that the server turned out not to hold, given up here: store again what named them
   */
  async commit(
    fields: RecordFields,
    catalog: WrittenCatalog,
    used: ReadonlySet<PackRef>,
  ): Promise<Committed | { readonly missing: ReadonlySet<PackRef> }> {
    const { keys, mandate, append, random = systemRandom } = this.#deps;
    const packs = [...used].map((packRef) => ({ packRef, packId: this.#storedAs(packRef) }));
    packs.sort((a, b) => comparePackIds(a.packId, b.packId));
    const { vaultId, mandateId } = mandate;
    const { generation } = keys;
    const record = { ...fields, vaultId, mandateId, generation, newBytes: this.newBytes, packs, catalog };
    const attachment = sealRecord(mandate, generation, record, random);
    const packIds = packs.map(({ packId }) => packId);
    const { mandateName, comment, files, bytes, createdAt } = fields;
    const summary = { mandateName, comment, files, bytes, createdAt, incomplete: fields.problems.length > 0 };
    crashPoint('before-commit');
    try {
      const appended = await append('snapshot-add', { mandateRef: mandate.ref, packIds, attachment, summary });
      return { id: snapshotIdOf(attachment), seq: appended.entry.seq, receipt: appended.receipt, packs };
    } catch (error) {
      if (!(error instanceof MissingPacks)) throw error;
      return { missing: await this.#drop(error.ids) };
    }
  }

  #storedAs(packRef: PackRef): PackId {
    const packId = this.#stored.get(packRef) ?? this.#loadIndex().packId(packRef);
    if (!packId) throw new Error(`pack ${packRef} is named but was never acknowledged`);
    return packId;
  }

  async #drop(packIds: readonly PackId[]): Promise<ReadonlySet<PackRef>> {
    // the cache of unchanged files names them too
    removeDurable(join(this.#deps.dir, FILE_CACHE));
    const refs = await this.#loadIndex().drop(packIds);
    for (const packRef of refs) this.#stored.delete(packRef);
    return refs;
  }

  /** Ends the writer. What was not acknowledged is forgotten; what was stays known to the next run. */
  async close(): Promise<void> {
    await this.#index?.close();
  }

  #loadIndex(): ChunkIndex {
    if (this.#index) return this.#index;
    const { dir, keys, mandate, warn } = this.#deps;
    this.#index = ChunkIndex.load(dir, keys.cacheKeys(), mandate.ref, warn);
    this.#index.addNames(this.#lastNames);
    return this.#index;
  }
}
