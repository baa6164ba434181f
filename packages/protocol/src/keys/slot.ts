import { concat, equal, isZero } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';
import { open, seal } from '../crypto/aead.ts';
import { argon2id, type KdfParams } from '../crypto/argon2.ts';
import { hkdf } from '../crypto/derive.ts';
import { label } from '../crypto/labels.ts';
import type { Random } from '../crypto/random.ts';
import { ProtocolError } from '../errors.ts';
import { idBytes, type VaultId } from '../ids.ts';
import { SLOT_CODES, type Slot, type SlotType } from '../public/slot.ts';
import { checkKdf } from './kdf.ts';

export const KIT_SECRET_BYTES = 20;
const NO_KDF: KdfParams = { m: 0, t: 0, p: 0 };

type SlotContext = Pick<Slot, 'type' | 'slotId' | 'salt' | 'kdf' | 'generation'>;

/** Commitment and key of a slot (SPEC 4.2): everything that the slot says of itself goes into the derivation. */
function slotKeys(ikm: Uint8Array, vaultId: VaultId, slot: SlotContext): { commitment: Uint8Array; key: Uint8Array } {
  const info = new Writer(128).bytes(label('slot')).u8(SLOT_CODES[slot.type]).bytes(slot.slotId).bytes(slot.salt);
  info.u32(slot.kdf.m).u32(slot.kdf.t).u32(slot.kdf.p).u32(slot.generation);
  const okm = hkdf(ikm, idBytes(vaultId), info.finish(), 64);
  return { commitment: okm.subarray(0, 32), key: okm.subarray(32) };
}

async function secretIkm(secret: Uint8Array, share: Uint8Array, slot: SlotContext): Promise<Uint8Array> {
  return concat(await argon2id(secret, slot.salt, slot.kdf), share);
}

function freshContext(type: SlotType, kdf: KdfParams, generation: number, random: Random): SlotContext {
  // fresh for every writing, so that a slot key seals one plain text only
  return { type, slotId: random(16), salt: random(32), kdf, generation };
}

function sealRoot(ikm: Uint8Array, vaultId: VaultId, context: SlotContext, root: Uint8Array): Slot {
  const { commitment, key } = slotKeys(ikm, vaultId, context);
  return { ...context, commitment, sealed: seal(key, 0, root) };
}

export interface SlotTarget {
  readonly vaultId: VaultId;
  readonly generation: number;
  readonly root: Uint8Array;
}

/** Seals the root under a secret key (normalised) and a share; throws as `checkKdf`. */
export async function sealSecretSlot(
  target: SlotTarget,
  secret: Uint8Array,
  share: Uint8Array,
  kdf: KdfParams,
  random: Random,
): Promise<Slot> {
  checkKdf(kdf);
  const context = freshContext('secret', kdf, target.generation, random);
  return sealRoot(await secretIkm(secret, share, context), target.vaultId, context, target.root);
}

/** Seals the root under a kit secret. */
export function sealKitSlot(target: SlotTarget, kitSecret: Uint8Array, random: Random): Slot {
  checkKitSecret(kitSecret);
  const context = freshContext('kit', NO_KDF, target.generation, random);
  return sealRoot(kitSecret, target.vaultId, context, target.root);
}

/**
 * Opens a secret slot. The parameters are judged before Argon2id runs.
 *
 * @throws ProtocolError `kdf-limit`, `kdf-downgrade`, `wrong-secret`, `integrity`
 */
export async function openSecretSlot(
  slot: Slot,
  vaultId: VaultId,
  secret: Uint8Array,
  share: Uint8Array,
  kdfFloor?: KdfParams,
): Promise<Uint8Array> {
  checkKdf(slot.kdf, kdfFloor);
  if (isZero(slot.salt)) throw new ProtocolError('format', 'header: salt of the secret slot is zero');
  return openRoot(await secretIkm(secret, share, slot), vaultId, slot, 'wrong-secret');
}

/** Opens a kit slot; throws `wrong-kit` or `integrity`. */
export function openKitSlot(slot: Slot, vaultId: VaultId, kitSecret: Uint8Array): Uint8Array {
  checkKitSecret(kitSecret);
  return openRoot(kitSecret, vaultId, slot, 'wrong-kit');
}

function openRoot(ikm: Uint8Array, vaultId: VaultId, slot: Slot, wrong: 'wrong-secret' | 'wrong-kit'): Uint8Array {
  const { commitment, key } = slotKeys(ikm, vaultId, slot);
  // before GCM: one sealed text can be made to open under two keys, a commitment cannot fit two
  if (!equal(commitment, slot.commitment)) throw new ProtocolError(wrong, `${slot.type} slot: the commitment differs`);
  return open(key, 0, slot.sealed, `${slot.type} slot`);
}

function checkKitSecret(kitSecret: Uint8Array): void {
  if (kitSecret.length !== KIT_SECRET_BYTES) throw new ProtocolError('format', 'kit: not 20 bytes');
}
