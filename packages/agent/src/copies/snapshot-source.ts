import type { CatalogNode, FileNode, MandateKeys, PackRef, SnapshotId, SnapshotRecord } from '@cresus-safe/protocol';
import type { ModuleFile } from '../mandate/modules.ts';
import { readSnapshotCatalog } from '../restore/catalog.ts';
import type { PackReader, Vault } from '../vault/vault.ts';
import { BLOCK_BYTES } from './blocks.ts';
import type { CopySource, SourceFile, SourceNode, SourcePass } from './copy-source.ts';
import { pathDefect } from './entry-path.ts';
import type { CopyProblem } from './manifest.ts';
import { SegmentCache } from './segment-cache.ts';

export interface SnapshotSourceOptions {
  readonly vault: Vault;
  readonly snapshot: SnapshotId;
  readonly kind: 'point' | 'snapshot';
  /** As people wrote it. */
  readonly comment: string;
  readonly signal?: AbortSignal | undefined;
}

/** What a snapshot takes at least as a copy: its size compressed by a fourth. The disk may still be full later. */
const SHRINKS_TO = 0.25;

/** A snapshot of the Safe or an automatic point. @throws AgentError as `Vault.record` */
export async function snapshotSource(options: SnapshotSourceOptions): Promise<SnapshotSource> {
  const record = await options.vault.record(options.snapshot);
  return new SnapshotSource(options, record);
}

/** The files of a snapshot, pack by pack; nothing plain lies on a disk in between. */
export class SnapshotSource implements CopySource {
  readonly kind: 'point' | 'snapshot';
  readonly id: string;
  readonly createdAt: number;
  readonly mandate: { readonly name: string; readonly id: string };
  readonly modules: readonly ModuleFile[];
  readonly comment: string;
  readonly folder = undefined;
  readonly #options: SnapshotSourceOptions;
  readonly #record: SnapshotRecord;
  readonly #keys: MandateKeys;
  readonly #reader: PackReader;
  readonly #files = new Map<string, FileNode>();
  #cache: SegmentCache | undefined;

  constructor(options: SnapshotSourceOptions, record: SnapshotRecord) {
    this.#options = options;
    this.#record = record;
    this.#keys = options.vault.mandate(record.mandateId);
    this.#reader = options.vault.reader(options.signal);
    this.kind = options.kind;
    this.id = options.snapshot;
    this.createdAt = record.createdAt;
    this.mandate = { name: record.mandateName, id: record.mandateId };
    this.modules = record.modules;
    this.comment = options.comment;
  }

  async begin(): Promise<SourcePass> {
    const { vault, snapshot } = this.#options;
    const problems: CopyProblem[] = [];
    const nodes: SourceNode[] = [];
    for (const node of await this.#catalog().catch((error: unknown) =>
      Promise.reject(vault.missing(snapshot, error)),
    )) {
      const code = problemOf(node);
      if (code !== undefined || node.type === 'problem' || node.type === 'link') {
        problems.push({ path: node.path, code: code ?? 'unreadable' });
        continue;
      }
      const { type, path, mtime, mode } = node;
      if (node.type === 'file') this.#files.set(path, node);
      nodes.push(
        node.type === 'file'
          ? { type, path, mtime, mode, size: node.size, sha256: node.sha256 }
          : { type, path, mtime, mode, size: 0 },
      );
    }
    const ordered = inPackOrder([...this.#files.values()]);
    const packIds = new Map(this.#record.packs.map(({ packRef, packId }) => [packRef, packId]));
    this.#cache = new SegmentCache(
      this.#reader,
      this.#keys,
      packIds,
      ordered.flatMap(({ extents }) => extents),
    );
    const byPath = new Map(nodes.map((node) => [node.path, node]));
    const files = ordered.flatMap(({ path }) => byPath.get(path) ?? []);
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    return { nodes, files, problems, expectedBytes: Math.ceil(bytes * SHRINKS_TO) };
  }

  async read({ path, mtime, mode, size }: SourceNode): Promise<SourceFile> {
    return { mtime, mode, size, blocks: this.#blocks(path) };
  }

  async end(): Promise<void> {
    this.#cache = undefined;
  }

  async #catalog(): Promise<readonly CatalogNode[]> {
    return (await readSnapshotCatalog(this.#reader, this.#keys, this.#record)).nodes;
  }

  async *#blocks(path: string): AsyncGenerator<Buffer> {
    const { vault, snapshot } = this.#options;
    for (const extent of this.#files.get(path)?.extents ?? []) {
      const bytes = await this.#cache
        ?.take(extent)
        .catch((error: unknown) => Promise.reject(vault.missing(snapshot, error)));
      for (let at = 0; bytes !== undefined && at < bytes.length; at += BLOCK_BYTES)
        yield bytes.subarray(at, at + BLOCK_BYTES);
    }
  }
}

function problemOf(node: CatalogNode): string | undefined {
  if (node.type === 'problem') return node.reason;
  if (node.type === 'link') return 'link';
  return pathDefect(node.path) === undefined ? undefined : 'name';
}

/** Files whose content lies together, together: by the pack and segment of their first byte, packs as the catalog meets them. */
function inPackOrder(files: readonly FileNode[]): FileNode[] {
  const packs = new Map<PackRef, number>();
  for (const { extents } of files)
    for (const { packRef } of extents) if (!packs.has(packRef)) packs.set(packRef, packs.size);
  const placeOf = ({ extents: [first] }: FileNode): readonly [number, number, number] =>
    first === undefined ? [-1, 0, 0] : [packs.get(first.packRef) ?? 0, first.segment, first.offset];
  return files.toSorted((a, b) => {
    const [p, q] = [placeOf(a), placeOf(b)];
    return p[0] - q[0] || p[1] - q[1] || p[2] - q[2];
  });
}
