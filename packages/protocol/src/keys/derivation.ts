import { concat } from '../bytes/bytes.ts';
import { EMPTY, hkdf, u32Bytes } from '../crypto/derive.ts';
import { label } from '../crypto/labels.ts';
import { asMandateRef, idBytes, type MandateId, type MandateRef, type VaultId } from '../ids.ts';

// every derivation of SPEC 4.3, one function each

export function signSeed(root: Uint8Array, vaultId: VaultId): Uint8Array {
  return hkdf(root, idBytes(vaultId), label('sign'), 32);
}

export function namesKey(root: Uint8Array, vaultId: VaultId): Uint8Array {
  return hkdf(root, idBytes(vaultId), label('names'), 32);
}

export function cacheKey(root: Uint8Array, vaultId: VaultId): Uint8Array {
  return hkdf(root, idBytes(vaultId), label('cache'), 32);
}

/** Key that seals the root of an earlier generation under the current root. */
export function earlierKey(root: Uint8Array, vaultId: VaultId, generation: number): Uint8Array {
  return hkdf(root, idBytes(vaultId), concat(label('earlier'), u32Bytes(generation)), 32);
}

export function mandateKey(root: Uint8Array, vaultId: VaultId, mandateId: MandateId): Uint8Array {
  return hkdf(root, idBytes(mandateId), concat(label('mandate'), idBytes(vaultId)), 32);
}

/** From the first root, for ever. */
export function mandateRefOf(firstRoot: Uint8Array, vaultId: VaultId, mandateId: MandateId): MandateRef {
  return asMandateRef(hkdf(firstRoot, idBytes(mandateId), concat(label('ref'), idBytes(vaultId)), 16));
}

/** A key below a mandate's key. */
export function ofMandate(key: Uint8Array, use: 'pack-key' | 'record-key' | 'chunk-id'): Uint8Array {
  return hkdf(key, EMPTY, label(use), 32);
}

/** The keyed gear table: 256 u32. */
export function gearTable(firstMandateKey: Uint8Array): Uint32Array {
  const bytes = hkdf(firstMandateKey, EMPTY, label('gear'), 1024);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Uint32Array.from({ length: 256 }, (_, index) => view.getUint32(index * 4));
}
