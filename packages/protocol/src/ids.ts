import { fromHex, toHex } from './bytes/hex.ts';
import { ProtocolError } from './errors.ts';

declare const brand: unique symbol;
type Id<Name extends string> = string & { readonly [brand]: Name };

/** Ids are lower-case hex strings at every API: 32 digits, or 64 for what is a hash. */
export type VaultId = Id<'vault'>;
export type MandateId = Id<'mandate'>;
export type MandateRef = Id<'mandate-ref'>;
export type DeviceId = Id<'device'>;
export type PackRef = Id<'pack-ref'>;
export type ServerId = Id<'server'>;
export type ShareId = Id<'share'>;
export type PackId = Id<'pack'>;
export type SnapshotId = Id<'snapshot'>;
export type Hash = Id<'hash'>;
/** First 8 bytes of the hash of a receipt key: 16 digits. */
export type KeyId = Id<'key'>;

function idOf<T extends Id<string>>(name: string, length: number): (value: string | Uint8Array) => T {
  return (value) => {
    const hex = typeof value === 'string' ? value : toHex(value);
    if (hex.length !== length * 2 || !/^[0-9a-f]+$/.test(hex))
      throw new ProtocolError('format', `${name} is not ${length * 2} lower-case hex digits`);
    return hex as T;
  };
}

/** Each takes hex digits or bytes, checks them, and throws `format` otherwise. */
export const asVaultId = idOf<VaultId>('vaultId', 16);
export const asMandateId = idOf<MandateId>('mandateId', 16);
export const asMandateRef = idOf<MandateRef>('mandateRef', 16);
export const asDeviceId = idOf<DeviceId>('deviceId', 16);
export const asPackRef = idOf<PackRef>('packRef', 16);
export const asServerId = idOf<ServerId>('serverId', 16);
export const asShareId = idOf<ShareId>('shareId', 16);
export const asPackId = idOf<PackId>('packId', 32);
export const asSnapshotId = idOf<SnapshotId>('snapshotId', 32);
export const asHash = idOf<Hash>('hash', 32);
export const asKeyId = idOf<KeyId>('keyId', 8);

/** The bytes of an id. */
export function idBytes(id: Id<string>): Uint8Array {
  return fromHex(id);
}

/** mandateRef of entries that belong to no mandate. */
export const NO_MANDATE: MandateRef = asMandateRef('0'.repeat(32));
/** `previous` of the first entry. */
export const NO_HASH: Hash = asHash('0'.repeat(64));
