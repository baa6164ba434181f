import { equal } from '../bytes/bytes.ts';
import type { KdfParams } from '../crypto/argon2.ts';
import { type Random, systemRandom } from '../crypto/random.ts';
import { ProtocolError } from '../errors.ts';
import {
  checkWritable,
  encodeHeader,
  type Header,
  type HeaderFields,
  shareIdOf,
  verifyHeader,
} from '../public/header.ts';
import type { Slot } from '../public/slot.ts';
import { DEFAULT_KDF } from './kdf.ts';
import { openKitSlot, openSecretSlot, sealKitSlot, sealSecretSlot } from './slot.ts';
import { VaultKeys } from './vault-keys.ts';

/** What a new header is made of. */
export interface NewHeader {
  /** Normalised. */
  readonly secret: Uint8Array;
  /** 32 random bytes, kept by the server; sent beside the header. */
  readonly share: Uint8Array;
  readonly headerSeq: number;
  readonly kdf?: KdfParams;
  /** 20 bytes: the header then has a kit slot. */
  readonly kit?: Uint8Array;
  readonly random?: Random;
}

/** Writes the header of a new vault (headerSeq 1) or of a new generation: all slots are made anew. */
export async function createHeader(keys: VaultKeys, from: NewHeader): Promise<Uint8Array> {
  const { secret, share, headerSeq, kdf = DEFAULT_KDF, kit, random = systemRandom } = from;
  const secretSlot = await sealSecretSlot(keys, secret, share, kdf, random);
  const kitSlot = kit && sealKitSlot(keys, kit, random);
  return write(keys, { headerSeq, shareId: shareIdOf(keys.vaultId, share), secretSlot, kitSlot });
}

/** The next header with a new secret slot and share; the kit slot is copied. */
export async function withSecret(
  header: Header,
  keys: VaultKeys,
  secret: Uint8Array,
  share: Uint8Array,
  { kdf = DEFAULT_KDF, random = systemRandom }: { readonly kdf?: KdfParams; readonly random?: Random } = {},
): Promise<Uint8Array> {
  checkOwn(header, keys);
  const secretSlot = await sealSecretSlot(keys, secret, share, kdf, random);
  return write(keys, { ...next(header), shareId: shareIdOf(keys.vaultId, share), secretSlot });
}

/** The next header with a new kit slot, or none for null; secret slot and shareId are copied. */
export function withKit(
  header: Header,
  keys: VaultKeys,
  kitSecret: Uint8Array | null,
  { random = systemRandom }: { readonly random?: Random } = {},
): Uint8Array {
  checkOwn(header, keys);
  return write(keys, { ...next(header), kitSlot: kitSecret ? sealKitSlot(keys, kitSecret, random) : undefined });
}

interface Parts {
  readonly headerSeq: number;
  readonly shareId: HeaderFields['shareId'];
  readonly secretSlot: Slot;
  readonly kitSlot: Slot | undefined;
}

function next(header: Header): Parts {
  const { headerSeq, shareId, secretSlot, kitSlot } = header;
  return { headerSeq: headerSeq + 1, shareId, secretSlot, kitSlot };
}

function checkOwn(header: Header, keys: VaultKeys): void {
  checkWritable(header);
  if (header.vaultId !== keys.vaultId || !equal(header.publicKey, keys.publicKey))
    throw new ProtocolError('integrity', 'header: not of the vault and generation of these keys');
}

function write(keys: VaultKeys, parts: Parts): Uint8Array {
  const { vaultId, generation, publicKey } = keys;
  const fields = { ...parts, minReader: 1, minWriter: 1, vaultId, generation, publicKey, earlier: keys.sealEarlier() };
  return encodeHeader(fields, (message) => keys.sign('header', message));
}

/**
 * Opens a vault with its secret key. Checks in this order, the cheap and public ones first: signature, share,
 * Argon2id parameters, then (after Argon2id) commitment, seal, public key, earlier roots.
 *
 * @param secret normalised
 * @param kdfFloor the strongest parameters this device saw for this vault
 * @throws ProtocolError `signature`, `wrong-share`, `kdf-limit`, `kdf-downgrade`, `wrong-secret`, `integrity`
 */
export async function openWithSecret(
  header: Header,
  secret: Uint8Array,
  share: Uint8Array,
  { kdfFloor }: { readonly kdfFloor?: KdfParams | undefined } = {},
): Promise<VaultKeys> {
  verifyHeader(header);
  if (shareIdOf(header.vaultId, share) !== header.shareId)
    throw new ProtocolError('wrong-share', 'share does not fit the header');
  const root = await openSecretSlot(header.secretSlot, header.vaultId, secret, share, kdfFloor);
  return VaultKeys.fromRoot(header, root, 'integrity');
}

/** Opens a vault with its recovery kit; throws `signature`, `wrong-kit` or `integrity`. */
export function openWithKit(header: Header, kitSecret: Uint8Array): VaultKeys {
  verifyHeader(header);
  if (!header.kitSlot) throw new ProtocolError('wrong-kit', 'the vault has no recovery kit');
  return VaultKeys.fromRoot(header, openKitSlot(header.kitSlot, header.vaultId, kitSecret), 'integrity');
}
