import { isZero } from '../bytes/bytes.ts';
import type { Reader } from '../bytes/reader.ts';
import type { Writer } from '../bytes/writer.ts';
import { ProtocolError } from '../errors.ts';

export type SlotType = 'secret' | 'kit';

/** One way to open the root, as it lies in the header (SPEC 4.2): only lengths and fixed values are known here. */
export interface Slot {
  readonly type: SlotType;
  readonly slotId: Uint8Array;
  readonly salt: Uint8Array;
  /** Argon2id costs; all zero in a kit slot. Hostile until `checkKdf` has passed them. */
  readonly kdf: { readonly m: number; readonly t: number; readonly p: number };
  readonly generation: number;
  readonly commitment: Uint8Array;
  readonly sealed: Uint8Array;
}

export const SLOT_BYTES = 148;
export const SLOT_CODES: Readonly<Record<SlotType, number>> = { secret: 1, kit: 2 };

export function writeSlot(writer: Writer, slot: Slot): void {
  writer.u8(SLOT_CODES[slot.type]).zero(3).fixed(slot.slotId, 16).fixed(slot.salt, 32);
  writer.u32(slot.kdf.m).u32(slot.kdf.t).u32(slot.kdf.p).u32(slot.generation);
  writer.fixed(slot.commitment, 32).fixed(slot.sealed, 48);
}

/** Reads one slot of the expected type; throws `format` naming the defect. */
export function readSlot(reader: Reader, type: SlotType): Slot {
  const code = reader.u8('slot type');
  if (code !== SLOT_CODES[type]) reader.fail(`slot type is ${code} where the ${type} slot belongs`);
  reader.zero(3, 'reserved bytes of the slot');
  const slotId = reader.bytes(16, 'slotId');
  const salt = reader.bytes(32, 'slot salt');
  if (isZero(salt)) throw new ProtocolError('format', `header: salt of the ${type} slot is zero`);
  const kdf = { m: reader.u32('slot m'), t: reader.u32('slot t'), p: reader.u32('slot p') };
  if (type === 'kit' && (kdf.m !== 0 || kdf.t !== 0 || kdf.p !== 0)) reader.fail('kit slot has Argon2id parameters');
  const generation = reader.u32('slot generation');
  return {
    type,
    slotId,
    salt,
    kdf,
    generation,
    commitment: reader.bytes(32, 'slot commitment'),
    sealed: reader.bytes(48, 'sealed root'),
  };
}
