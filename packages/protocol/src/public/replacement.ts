import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { asPackId, asPackRef, idBytes, type PackId, type PackRef } from '../ids.ts';

/** A pack sealed anew: the same packRef and plain segments under another id. */
export interface ReplacedPack {
  readonly packRef: PackRef;
  readonly oldId: PackId;
  readonly newId: PackId;
}

/** Replacement of SPEC 13; throws as `parseReplacement`. */
export function encodeReplacement(packs: readonly ReplacedPack[]): Uint8Array {
  const writer = new Writer(12 + packs.length * 80).magic('CSRP').zero(3).u32(packs.length);
  for (const pack of packs) writer.bytes(idBytes(pack.packRef)).bytes(idBytes(pack.oldId)).bytes(idBytes(pack.newId));
  const bytes = writer.finish();
  parseReplacement(bytes);
  return bytes;
}

/** Parses strictly (ascending by packRef); throws `format` or `version`. */
export function parseReplacement(bytes: Uint8Array): ReplacedPack[] {
  const reader = new Reader(bytes, 'replacement');
  reader.magic('CSRP');
  reader.zero(3, 'reserved bytes');
  const count = reader.u32('count');
  const packs: ReplacedPack[] = [];
  for (let index = 0; index < count; index++) {
    const pack = {
      packRef: asPackRef(reader.bytes(16, 'packRef')),
      oldId: asPackId(reader.bytes(32, 'old packId')),
      newId: asPackId(reader.bytes(32, 'new packId')),
    };
    if (pack.packRef <= (packs.at(-1)?.packRef ?? '')) reader.fail('not strictly ascending by packRef');
    if (pack.oldId === pack.newId) reader.fail('a pack replaces itself');
    packs.push(pack);
  }
  reader.end();
  return packs;
}
