import type { CatalogNode, SnapshotRecord } from '@cresus-safe/protocol';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import { type ReadCatalog, readSnapshotCatalog } from './catalog.ts';
import type { Filling, RestoreSource, SourceFacts } from './source.ts';
import { writeFromPacks } from './write-packs.ts';

export interface VaultSourceOptions {
  readonly vault: Vault;
  readonly snapshot: SnapshotInfo['id'];
  readonly kind: 'snapshot' | 'point';
  /** As people wrote it, where the record's has more to it. */
  readonly comment?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A snapshot of the Safe, or a point: the same vault, on disk. @throws AgentError as `Vault.record` */
export async function vaultSource(options: VaultSourceOptions): Promise<RestoreSource> {
  return new VaultSource(options, await options.vault.record(options.snapshot));
}

/** The store of points is on this computer, and so is what is known of its packs. */
const nothing = (): Promise<void> => Promise.resolve();

class VaultSource implements RestoreSource {
  readonly kind: 'snapshot' | 'point';
  readonly id: string;
  readonly createdAt: number;
  readonly comment: string;
  readonly mandateId: string;
  readonly mandateName: string;
  readonly modules: SourceFacts['modules'];
  readonly files: number;
  readonly bytes: number;
  readonly #options: VaultSourceOptions;
  readonly #record: SnapshotRecord;
  readonly #reader: ReturnType<Vault['reader']>;
  #catalog: ReadCatalog | undefined;

  constructor(options: VaultSourceOptions, record: SnapshotRecord) {
    this.#options = options;
    this.#record = record;
    this.#reader = options.vault.reader(options.signal);
    this.kind = options.kind;
    this.id = options.snapshot;
    this.createdAt = record.createdAt;
    this.comment = options.comment ?? record.comment;
    this.mandateId = record.mandateId;
    this.mandateName = record.mandateName;
    this.modules = record.modules;
    this.files = record.files;
    this.bytes = record.bytes;
  }

  /** A point costs no network. */
  get downloaded(): number {
    return this.kind === 'point' ? 0 : this.#reader.downloaded;
  }

  async readTree(): Promise<readonly CatalogNode[]> {
    return (await this.#read()).nodes;
  }

  async fill(filling: Filling): Promise<void> {
    const { vault } = this.#options;
    const { mandateId, packs } = this.#record;
    const { spare } = await this.#read();
    const keys = vault.mandate(mandateId);
    filling.pool.useMandate(keys);
    const facts = {
      ...{ ...filling, reader: this.#reader, keys, spare },
      packIds: new Map(packs.map(({ packRef, packId }) => [packRef, packId])),
    };
    if (this.kind === 'point') return writeFromPacks({ ...facts, local: true, learns: () => false, learn: nothing });
    const learner = vault.learner(mandateId); // also for --to: after a disaster the mandate goes on from there
    try {
      await writeFromPacks({
        ...{ ...facts, local: false },
        learns: (packRef) => !learner.knows(packRef),
        learn: async (packId, { packRef, chunks }) => learner.learn(packRef, packId, chunks),
      });
    } finally {
      await learner.close();
    }
  }

  async #read(): Promise<ReadCatalog> {
    const { vault, snapshot, signal } = this.#options;
    const keys = vault.mandate(this.#record.mandateId);
    try {
      this.#catalog ??= await readSnapshotCatalog(this.#reader, keys, this.#record, signal);
      return this.#catalog;
    } catch (error) {
      throw vault.missing(snapshot, error);
    }
  }
}
