import { concat, hkdf, label, open, Reader, seal, systemRandom, TAG_BYTES, Writer } from '@cresus-safe/protocol';

const SALT_BYTES = 32;

/** What a sealed piece of this computer's own files adds to its plain bytes. */
export const SEALED_OVERHEAD = SALT_BYTES + TAG_BYTES;

/** What a local file is for; part of its key, so that no file can be put in another's place. */
export type LocalPurpose = 'chunk-index' | 'file-cache' | 'points-root' | 'pack-sheet';

/** Keys of this computer's own files, the current generation's first: a rotation leaves what is on the disk as it is. */
export type CacheKeys = readonly Uint8Array[];

/**
 * Seals a piece of a local file under the vault's cache key and a salt of its own: `salt 32 ‖ GCM`. Each piece has its
 * own key, so a file that was cut short and continued never uses a nonce twice.
 * @param owner bytes of the id (of a mandateRef, of the points' vault) that the file belongs to
 */
export function sealLocal(
  [cacheKey]: CacheKeys,
  purpose: LocalPurpose,
  owner: Uint8Array,
  plain: Uint8Array,
): Uint8Array {
  if (cacheKey === undefined) throw new Error('no cache key');
  const salt = systemRandom(SALT_BYTES);
  const sealed = new Uint8Array(plain.length + SEALED_OVERHEAD);
  sealed.set(salt);
  seal(pieceKey(cacheKey, purpose, owner, salt), 0, plain, sealed.subarray(SALT_BYTES));
  return sealed;
}

/** Opens what `sealLocal` made, in whichever generation; throws `integrity`. */
export function openLocal(
  cacheKeys: CacheKeys,
  purpose: LocalPurpose,
  owner: Uint8Array,
  sealed: Uint8Array,
): Uint8Array {
  const reader = new Reader(sealed, purpose);
  const salt = reader.bytes(SALT_BYTES, 'salt');
  const rest = reader.rest();
  let failed: unknown = new Error('no cache key');
  for (const cacheKey of cacheKeys) {
    try {
      return open(pieceKey(cacheKey, purpose, owner, salt), 0, rest, purpose);
    } catch (error) {
      failed = error; // sealed before a rotation, or damaged: the earlier keys tell
    }
  }
  throw failed;
}

function pieceKey(cacheKey: Uint8Array, purpose: LocalPurpose, owner: Uint8Array, salt: Uint8Array): Uint8Array {
  return hkdf(cacheKey, salt, concat(label(`local/${purpose}`), owner), 32);
}

/** The first eight bytes of a local file. */
export function localHeader(magic: string): Uint8Array {
  return new Writer(8).magic(magic).zero(3).finish();
}
