import { randomBytes } from 'node:crypto';
import {
  asPackRef,
  type CatalogNode,
  CatalogWriter,
  COMPRESSION,
  CONTENT_CLASS,
  type Compression,
  type ContentClass,
  compressSegment,
  concat,
  finishPack,
  MAX_SEGMENT_BYTES,
  type MandateKeys,
  type PackRef,
  packIdOf,
  packTail,
  seal,
  startPack,
} from '@cresus-safe/protocol';
import type { ProtocolClient, SealedPack } from './protocol-client.ts';

/** A segment exactly as it will lie in the pack: nothing is compressed, cut or checked. */
export interface ForgedSegment {
  readonly contentClass: ContentClass;
  readonly payload: Uint8Array;
  readonly compression?: Compression;
  /** What the index says that the payload gives. */
  readonly plainLength?: number;
  readonly chunkLengths?: readonly number[];
  /** The number it is sealed under, when it is not its own. */
  readonly sealedAs?: number;
}

/** What a device of the vault that turned bad can make: a pack sealed with the right keys, of any content. */
export function forgePack(
  keys: MandateKeys,
  generation: number,
  segments: readonly ForgedSegment[],
  packRef: PackRef = asPackRef(randomBytes(16)),
) {
  const start = startPack(keys, generation, randomBytes, packRef);
  const sealed = segments.map(({ payload, sealedAs }, ordinal) => seal(start.key, sealedAs ?? ordinal, payload));
  const entries = segments.map((segment, ordinal) => {
    const { contentClass, payload, compression = COMPRESSION.none, plainLength = payload.length } = segment;
    const { chunkLengths = pieces(plainLength, 512 * 1024) } = segment;
    return { contentClass, compression, sealedLength: sealed[ordinal]?.length ?? 0, plainLength, chunkLengths };
  });
  const used = sealed.reduce((sum, { length }) => sum + length, start.bytes.length);
  const bytes = concat(start.bytes, ...sealed, new Uint8Array(packTail(used, entries)));
  finishPack(start, bytes, used, entries);
  return { packId: packIdOf(bytes), packRef, bytes };
}

/** A pack of such segments with a catalog behind them, as a snapshot names it; the catalog may be any bytes. */
export function forgeSnapshot(
  { mandate, keys }: ProtocolClient,
  content: readonly ForgedSegment[],
  catalogFor: (packRef: PackRef) => Uint8Array,
): SealedPack {
  const packRef = asPackRef(randomBytes(16));
  const catalog = catalogFor(packRef);
  const lengths = pieces(catalog.length, MAX_SEGMENT_BYTES);
  const extents = lengths.map((length, n) => ({ packRef, segment: content.length + n, offset: 0, length }));
  const segments = lengths.map((length, n): ForgedSegment => {
    const plain = catalog.subarray(n * MAX_SEGMENT_BYTES, n * MAX_SEGMENT_BYTES + length);
    const frame = compressSegment(plain);
    const common = { contentClass: CONTENT_CLASS.catalog, plainLength: length };
    return frame
      ? { ...common, payload: frame, compression: COMPRESSION.zstd }
      : { ...common, payload: plain, compression: COMPRESSION.none };
  });
  const pack = forgePack(mandate, keys.generation, [...content, ...segments], packRef);
  return { ...pack, catalog, catalogSegment: content.length, catalogExtents: extents };
}

/** A catalog as the format has it. */
export function catalogOf(nodes: readonly CatalogNode[]): Uint8Array {
  const writer = new CatalogWriter();
  return concat(...nodes.flatMap((node) => writer.push(node) ?? []), writer.finish());
}

function pieces(total: number, most: number): number[] {
  return Array.from({ length: Math.ceil(total / most) }, (_, n) => Math.min(most, total - n * most));
}
