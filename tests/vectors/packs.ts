import * as protocol from '@cresus-safe/protocol';
import { drawsOf } from './values.ts';

const { concat, fromHex, toHex, Writer } = protocol;

/** A pack's keys, and what is drawn for it: packRef and salt. */
export interface PackInput {
  readonly vaultId: string;
  readonly root: string;
  readonly mandateId: protocol.MandateId;
  readonly random: readonly string[];
}

export function mandateOf({ vaultId, root, mandateId }: PackInput): protocol.MandateKeys {
  return protocol.VaultKeys.create(drawsOf([vaultId, root])).mandate(mandateId);
}

export interface SealInput extends PackInput {
  readonly segments: readonly { contentClass: protocol.ContentClass; plain: string; chunkLengths: readonly number[] }[];
}

/** Seals and opens; shows what is not padding (a pack is 256 KiB at least), the hash stands for the rest. */
function sealPack(input: SealInput) {
  const mandate = mandateOf(input);
  const sealer = new protocol.PackSealer(mandate, 0, drawsOf(input.random));
  for (const { contentClass, plain, chunkLengths } of input.segments)
    sealer.add(contentClass, fromHex(plain), chunkLengths);
  const { bytes, packId, packRef } = sealer.finish();
  const opened = protocol.openPack(bytes, packId, mandate);
  const plain = opened.segments.map((_, ordinal) => opened.segment(ordinal));
  const sealedEnd = opened.segments.reduce((at, { sealedLength }) => at + sealedLength, 108);
  const { length } = bytes;
  const shown = { head: bytes.subarray(0, sealedEnd), footer: bytes.subarray(length - 32) };
  return { packId, packRef, length, ...shown, plain };
}

interface ForgeInput extends PackInput {
  /** Sealed as they are, in this order, under these numbers. */
  readonly payloads: readonly string[];
  readonly nonces?: readonly number[];
  /** Index plain, padded with zeros unless `padding` says otherwise. */
  readonly index: string;
  readonly padding?: number;
  readonly footer?: Readonly<Partial<Record<'offset' | 'length' | 'count' | 'reserved', number>>>;
  readonly version?: number;
  readonly generation?: number;
  readonly mandateRef?: string;
  /** Flips the lowest bit of a byte of the finished pack; from the end when negative. */
  readonly flip?: number;
  readonly append?: string;
  readonly packId?: string;
}

/** What a stolen key could make: a pack with any content, sealed with the right keys. */
function forge(input: ForgeInput): { bytes: Uint8Array; mandate: protocol.MandateKeys } {
  const mandate = mandateOf(input);
  const [ref = '', salt = ''] = input.random;
  const prefix = concat(
    protocol.ascii('CSPK'),
    Uint8Array.of(input.version ?? 1, 0, 0, 0),
    protocol.u32Bytes(input.generation ?? 0),
    fromHex(input.mandateRef ?? mandate.ref),
    fromHex(ref),
  );
  const okm = protocol.hkdf(mandate.packKey(0), fromHex(salt), concat(protocol.label('pack'), prefix), 64);
  const key = okm.subarray(0, 32);
  const sealed = input.payloads.map((payload, i) => protocol.seal(key, input.nonces?.[i] ?? i, fromHex(payload)));
  const head = concat(prefix, fromHex(salt), okm.subarray(32), ...sealed);
  const index = fromHex(input.index);
  const granule = protocol.PACK_GRANULE_BYTES;
  const bare = head.length + index.length + 16 + 32;
  const plain = new Uint8Array(index.length + (Math.ceil(bare / granule) * granule - bare));
  plain.set(index);
  if (input.padding) plain.fill(input.padding, index.length);
  const {
    offset = head.length,
    length = plain.length + 16,
    count = input.payloads.length,
    reserved = 0,
  } = input.footer ?? {};
  const footer = new Writer(16).u32(offset).u32(length).u32(count).u32(reserved).finish();
  const pack = concat(head, protocol.seal(key, 2n ** 96n - 1n, plain), protocol.seal(key, 2n ** 96n - 2n, footer));
  if (input.flip !== undefined) {
    const at = input.flip < 0 ? pack.length + input.flip : input.flip;
    pack[at] = (pack[at] as number) ^ 1;
  }
  return { bytes: concat(pack, fromHex(input.append ?? '')), mandate };
}

function openForged(input: ForgeInput): void {
  const { bytes, mandate } = forge(input);
  const opened = protocol.openPack(bytes, (input.packId as protocol.PackId) ?? protocol.packIdOf(bytes), mandate);
  for (let ordinal = 0; ordinal < opened.segments.length; ordinal++) opened.segment(ordinal);
}

/** Bytes that compress badly and cut well, the same for ever. */
function stream(seed: string, length: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(length / 32) * 32);
  for (let at = 0; at < length; at += 32) bytes.set(protocol.sha256(protocol.ascii(`${seed}/${at / 32}`)), at);
  return bytes.subarray(0, length);
}

export interface ChunkInput extends Omit<PackInput, 'random'> {
  readonly seed: string;
  readonly length: number;
  readonly sizeClass: number;
  readonly contentClass: protocol.ContentClass;
}

function cut(input: ChunkInput) {
  const mandate = mandateOf({ ...input, random: [] });
  const data = stream(input.seed, input.length);
  const lengths = protocol.cutFile(data, mandate.gear, protocol.paramsOfClass(input.sizeClass));
  let at = 0;
  const ids = lengths.map((length) => {
    at += length;
    return toHex(protocol.chunkId(mandate.chunkIdKey, input.contentClass, data.subarray(at - length, at)));
  });
  return { lengths, first: ids[0] ?? null, all: toHex(protocol.sha256(fromHex(ids.join('')))) };
}

function catalog(nodes: readonly protocol.CatalogNode[]) {
  const writer = new protocol.CatalogWriter();
  const bytes = concat(...nodes.flatMap((node) => writer.push(node) ?? []), writer.finish());
  return { bytes, nodes: [...protocol.readCatalog([bytes])] };
}

export const PACK_OPERATIONS = {
  pack: sealPack,
  'segment-payload': ({ payload, plainLength }: { readonly payload: string; readonly plainLength: number }) =>
    protocol.expandSegment(fromHex(payload), 1, plainLength),
  chunks: cut,
  'chunk-class': ({ size, previous }: { readonly size: number; readonly previous?: number }) =>
    protocol.chunkParams(size, previous),
  catalog,
} as const;

export const PACK_ATTEMPTS = {
  pack: openForged,
  catalog: (hex: string) => [...protocol.readCatalog([fromHex(hex)])],
  'catalog-write': (nodes: readonly protocol.CatalogNode[]) => catalog(nodes),
  'chunk-class': (sizeClass: number) => protocol.paramsOfClass(sizeClass),
} as const;
