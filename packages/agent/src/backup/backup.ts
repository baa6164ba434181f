import { createHash } from 'node:crypto';
import {
  asHash,
  asMandateId,
  type CatalogNode,
  CatalogWriter,
  type Hash,
  MAX_RECORD_PROBLEMS,
  type PackRef,
  type Receipt,
  type SnapshotId,
  type SnapshotProblem,
} from '@cresus-safe/protocol';
import { Pool } from '../compute/pool.ts';
import { AgentError } from '../errors.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { type ScanNode, scanMandate } from '../mandate/scan.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import { Books, type Entry, sameNode, toEntries, toNode } from './entry.ts';
import { type FileCache, loadFileCache, saveFileCache } from './file-cache.ts';
import { BlockReader, type Writer } from './read-blocks.ts';
import { readFiles } from './read-files.ts';
import { type BackupProgress, Tally } from './tally.ts';

const MOST_RESENDS = 3;

export interface BackupOptions {
  readonly vault: Vault;
  readonly mandate: Mandate;
  readonly deviceName: string;
  readonly agentVersion: string;
  /** Makes a snapshot even when nothing changed, unless `onlyIfChanged`. */
  readonly comment?: string | undefined;
  readonly onlyIfChanged?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
}

/** What `send` reports of one mandate. Bytes are of the mandate's data, `sentBytes` of packs as they crossed the network. */
export interface BackupResult {
  readonly id: SnapshotId;
  readonly seq: number;
  readonly files: number;
  readonly bytes: number;
  readonly newBytes: number;
  readonly sentBytes: number;
  readonly unchangedFiles: number;
  readonly problems: readonly SnapshotProblem[];
  readonly durationMs: number;
  /** Nothing changed since the newest snapshot, which this result names; none was made. */
  readonly unchanged: boolean;
  readonly receipt: Receipt;
}

/**
 * Sends a mandate: scans it, reads what changed, stores what is new, and appends one snapshot when anything differs from
 * the newest one.
 * @throws AgentError `mandate-unstable`, `path-missing`, `interrupted`, and what the vault throws
 */
export async function backup(options: BackupOptions): Promise<BackupResult> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await backupOnce(options);
    } catch (error) {
      // the server deleted this very pack meanwhile, and takes its name never again: sealed anew it has another one
      const gone = error instanceof AgentError && error.details['code'] === 'pack-gone';
      if (!gone || tries === MOST_RESENDS) throw error;
    }
  }
}

async function backupOnce(options: BackupOptions): Promise<BackupResult> {
  const pool = new Pool();
  const stop = (): void => void pool.close(interrupted());
  options.signal?.addEventListener('abort', stop);
  const writer = options.vault.writer(asMandateId(options.mandate.mandateId), pool, options.signal);
  try {
    return await new Run(options, pool, writer).run();
  } catch (error) {
    throw options.signal?.aborted ? interrupted(error) : error;
  } finally {
    options.signal?.removeEventListener('abort', stop);
    await writer.close();
    await pool.close();
  }
}

function interrupted(cause?: unknown): AgentError {
  return new AgentError('interrupted', 'the backup was interrupted', { cause });
}

/** One backup of one mandate. */
class Run {
  readonly #options: BackupOptions;
  readonly #pool: Pool;
  readonly #writer: Writer;
  readonly #tally: Tally;
  readonly #books: Books;
  readonly #ref: SnapshotInfo['mandateRef'];
  readonly #dir: string;
  readonly #startedAt: number;
  #scannedAt = 0;

  constructor(options: BackupOptions, pool: Pool, writer: Writer) {
    const { vault, mandate } = options;
    this.#options = options;
    this.#pool = pool;
    this.#writer = writer;
    this.#tally = new Tally(writer, options.onProgress);
    this.#books = new Books(mandate.modules);
    this.#ref = vault.mandate(asMandateId(mandate.mandateId)).ref;
    this.#dir = vault.mandateDir(this.#ref);
    this.#startedAt = vault.now();
  }

  async run(): Promise<BackupResult> {
    const { mandate, signal } = this.#options;
    const cache = this.#loadCache();
    // the disk's times are compared with this computer's clock, whatever clock the vault was given
    this.#scannedAt = Date.now();
    const scanned = await scanMandate(mandate.path, { signal, onProgress: (nodes) => this.#tally.scanning(nodes) });
    const entries = this.#toEntries(scanned, cache);
    await this.#read(entries);
    return (await this.#ifUnchanged(entries, cache)) ?? (await this.#send(entries));
  }

  #loadCache(): FileCache | undefined {
    const { vault } = this.#options;
    const warn = (): void => vault.warn({ code: 'file-cache-rebuilt', params: {} });
    const cache = loadFileCache(this.#dir, vault.keys.cacheKeys(), this.#ref, warn);
    if (cache) this.#writer.relyOn(cache.packs);
    return cache;
  }

  #toEntries(scanned: readonly ScanNode[], cache: FileCache | undefined): Entry[] {
    const entries = toEntries(scanned, this.#books, cache, (extents) => this.#writer.knows(extents));
    this.#tally.planned(entries);
    return entries;
  }

  async #read(entries: readonly Entry[]): Promise<void> {
    const { mandate, signal } = this.#options;
    const readOnce: Parameters<typeof readFiles>[3] = (files) => {
      if (files.length === 0) return Promise.resolve([]);
      return new BlockReader(this.#pool, this.#writer, mandate.path, (bytes, files) =>
        this.#tally.read(bytes, files),
      ).read(files);
    };
    await readFiles(mandate.path, entries, this.#books, readOnce, signal);
  }

  /** The newest snapshot as the result, when it says exactly what is on the disk and nobody asked for another. */
  async #ifUnchanged(entries: readonly Entry[], cache: FileCache | undefined): Promise<BackupResult | undefined> {
    const { vault, mandate, comment, onlyIfChanged } = this.#options;
    const newest = vault.snapshots(this.#ref).at(-1);
    if (!newest || (comment && !onlyIfChanged) || newest.mandateName !== mandate.name) return undefined;
    const nodes = entries.map(toNode);
    const isSame =
      cache?.snapshotId === newest.id && sameModules(cache.modules, mandate.modules)
        ? nodes.length === cache.nodes.size && nodes.every((node) => sameNode(node, cache.nodes.get(node.path)?.node))
        : await this.#isCatalogOf(newest.id, nodes);
    if (!isSame) return undefined;
    if (needsCache(entries, cache))
      this.#keepCache(entries, catalogOf(nodes), newest.id, (await vault.record(newest.id)).packs);
    await vault.remote.seen([this.#ref]);
    return { ...this.#numbers(entries), id: newest.id, seq: newest.seq, receipt: newest.receipt, unchanged: true };
  }

  /** Without a cache of that snapshot: its record tells, if this computer's index leads to the same extents. */
  async #isCatalogOf(id: SnapshotId, nodes: readonly CatalogNode[]): Promise<boolean> {
    const record = await this.#options.vault.record(id);
    return (
      sameModules(record.modules, this.#options.mandate.modules) && hashOf(catalogOf(nodes)) === record.catalog.sha256
    );
  }

  async #send(entries: readonly Entry[]): Promise<BackupResult> {
    const { vault, mandate } = this.#options;
    for (let resends = 0; ; resends++) {
      const nodes = entries.map(toNode);
      const pieces = catalogOf(nodes);
      const catalog = await this.#writer.writeCatalog(pieces);
      this.#tally.committing();
      const used = new Set<PackRef>(catalog.extents.map(({ packRef }) => packRef));
      for (const node of nodes) if (node.type === 'file') for (const { packRef } of node.extents) used.add(packRef);
      const outcome = await this.#writer.commit(this.#recordFields(nodes), catalog, used);
      if (!('missing' in outcome)) {
        this.#keepCache(entries, pieces, outcome.id, outcome.packs);
        const { id, seq, receipt } = outcome;
        return { ...this.#numbers(entries), id, seq, receipt, unchanged: false };
      }
      if (resends === MOST_RESENDS)
        throw new AgentError('integrity', 'the server keeps losing packs that it acknowledged', {
          key: 'error.packs-lost',
          details: { packs: outcome.missing.size },
        });
      vault.warn({ code: 'packs-sent-again', params: { packs: outcome.missing.size, mandate: mandate.name } });
      for (const { file } of entries)
        if (file?.extents.some(({ packRef }) => outcome.missing.has(packRef)))
          Object.assign(file, { sha256: undefined, extents: [], reused: false });
      await this.#read(entries);
    }
  }

  #recordFields(nodes: readonly CatalogNode[]): Parameters<Writer['commit']>[0] {
    const { vault, mandate, deviceName, agentVersion, comment = '' } = this.#options;
    const count = (type: CatalogNode['type']): number => nodes.filter((node) => node.type === type).length;
    return {
      mandateName: mandate.name,
      createdAt: this.#startedAt,
      finishedAt: vault.now(),
      deviceId: vault.deviceId,
      deviceName,
      agentVersion,
      comment,
      files: count('file'),
      folders: count('folder'),
      links: count('link'),
      bytes: nodes.reduce((sum, node) => sum + (node.type === 'file' ? node.size : 0), 0),
      modules: mandate.modules,
      problems: problemsOf(nodes).slice(0, MAX_RECORD_PROBLEMS),
    };
  }

  #keepCache(
    entries: readonly Entry[],
    catalog: readonly Uint8Array[],
    snapshotId: SnapshotId,
    packs: FileCache['packs'],
  ): void {
    const { vault, mandate } = this.#options;
    const files = entries.flatMap(({ file }) =>
      file && file.problem === undefined ? [{ stat: file.stat, sizeClass: file.params.sizeClass }] : [],
    );
    const { name: mandateName, modules } = mandate;
    const content = { snapshotId, mandateName, modules, packs, scannedAt: this.#scannedAt, catalog, files };
    saveFileCache(this.#dir, vault.keys.cacheKeys(), this.#ref, content);
  }

  #numbers(entries: readonly Entry[]): Omit<BackupResult, 'id' | 'seq' | 'receipt' | 'unchanged'> {
    const nodes = entries.map(toNode);
    const { newBytes, sentBytes } = this.#writer;
    return {
      files: nodes.filter(({ type }) => type === 'file').length,
      bytes: nodes.reduce((sum, node) => sum + (node.type === 'file' ? node.size : 0), 0),
      newBytes,
      sentBytes,
      unchangedFiles: entries.filter(({ file }) => file?.reused).length,
      problems: problemsOf(nodes),
      durationMs: this.#options.vault.now() - this.#startedAt,
    };
  }
}

function catalogOf(nodes: readonly CatalogNode[]): Uint8Array[] {
  const writer = new CatalogWriter();
  const pieces = nodes.flatMap((node) => writer.push(node) ?? []);
  return [...pieces, writer.finish()];
}

function hashOf(pieces: readonly Uint8Array[]): Hash {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return asHash(hash.digest());
}

function problemsOf(nodes: readonly CatalogNode[]): SnapshotProblem[] {
  return nodes.flatMap((node) => (node.type === 'problem' ? [{ code: node.reason, path: node.path }] : []));
}

function sameModules(a: Mandate['modules'], b: Mandate['modules']): boolean {
  const text = (modules: Mandate['modules']): string =>
    JSON.stringify(modules.map(({ kind, file }) => [file, kind]).sort());
  return text(a) === text(b);
}

/** A cache that lacks, or did not trust, some file: writing it anew spares the next run the reading. */
function needsCache(entries: readonly Entry[], cache: FileCache | undefined): boolean {
  return !cache || entries.some(({ file }) => file !== undefined && !file.reused && file.problem === undefined);
}
