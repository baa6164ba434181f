import { createHash } from 'node:crypto';
import {
  asHash,
  type CatalogNode,
  CONTENT_CLASS,
  type Extent,
  type MandateKeys,
  type OpenedPack,
  openPack,
  type PackId,
  type PackRef,
  readCatalog,
  type SnapshotRecord,
} from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import type { PackReader } from '../vault/vault.ts';
import { Slices } from './slices.ts';

/** Packs that were fetched for the catalog and will be needed again for files: at most this many stay in memory. */
const SPARE_PACKS = 2;
const PIECE = 64 * 1024;

export interface ReadCatalog {
  readonly nodes: CatalogNode[];
  /** Sealed packs still in memory. */
  readonly spare: Map<PackId, Uint8Array>;
}

/**
 * Reads a snapshot's catalog: every pack that holds a part is opened once, the whole is hashed, and only then parsed.
 * @throws AgentError `integrity` (also when content of a file stands where the catalog belongs, MS-06), `not-found`,
 *   `interrupted`
 */
export async function readSnapshotCatalog(
  reader: PackReader,
  keys: MandateKeys,
  record: SnapshotRecord,
  signal?: AbortSignal,
): Promise<ReadCatalog> {
  const plain = new Uint8Array(record.catalog.length);
  const spare = new Map<PackId, Uint8Array>();
  const packIds = new Map(record.packs.map(({ packRef, packId }) => [packRef, packId]));
  for (const [packRef, parts] of partsByPack(record.catalog.extents)) {
    const packId = packIds.get(packRef);
    if (packId === undefined) throw damaged('it names a pack that the record does not list');
    const { bytes, pack } = await reader.twice(packId, async () => {
      const fetched = await reader.fetch(packId);
      return { bytes: fetched, pack: openPack(fetched, packId, keys) };
    });
    if (pack.packRef !== packRef) throw damaged('a pack has another packRef than the record says');
    copyParts(pack, parts, plain);
    if (spare.size < SPARE_PACKS) spare.set(packId, bytes);
  }
  if (asHash(createHash('sha256').update(plain).digest('hex')) !== record.catalog.sha256)
    throw damaged('its hash is not that of the record');
  try {
    return { nodes: await parse(plain, signal), spare };
  } catch (error) {
    throw toAgentError(error);
  }
}

/** 50,000 nodes take half a second. */
async function parse(plain: Uint8Array, signal: AbortSignal | undefined): Promise<CatalogNode[]> {
  const nodes: CatalogNode[] = [];
  const slices = new Slices(signal);
  for (const node of readCatalog(pieces(plain))) {
    nodes.push(node);
    if (slices.due) await slices.pause();
  }
  return nodes;
}

interface Part extends Extent {
  readonly at: number;
}

function partsByPack(extents: readonly Extent[]): Map<PackRef, Part[]> {
  let at = 0;
  const parts = extents.map((extent) => {
    const part = { ...extent, at };
    at += extent.length;
    return part;
  });
  return Map.groupBy(parts, ({ packRef }) => packRef);
}

function copyParts(pack: OpenedPack, parts: readonly Part[], plain: Uint8Array): void {
  for (const [ordinal, inSegment] of Map.groupBy(parts, ({ segment }) => segment)) {
    if (pack.segments[ordinal]?.contentClass !== CONTENT_CLASS.catalog)
      throw damaged('a part of it lies where no catalog lies');
    const segment = pack.segment(ordinal);
    for (const { offset, length, at } of inSegment) {
      if (offset + length > segment.length) throw damaged('a part of it lies past the end of a segment');
      plain.set(segment.subarray(offset, offset + length), at);
    }
  }
}

function* pieces(plain: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < plain.length; at += PIECE) yield plain.subarray(at, at + PIECE);
}

function damaged(defect: string): AgentError {
  return new AgentError('integrity', `catalog: ${defect}`, {
    key: 'error.catalog-damaged',
    params: { reason: defect },
  });
}
