import { concat } from '../bytes/bytes.ts';
import { verify } from '../crypto/sign.ts';
import { ProtocolError } from '../errors.ts';
import { type DeviceId, idBytes, type VaultId } from '../ids.ts';

/** What a pending device signs as "proof" with the vault key (SPEC 16); the challenge has 32 bytes. */
export function proofMessage(vaultId: VaultId, deviceId: DeviceId, challenge: Uint8Array): Uint8Array {
  if (challenge.length !== 32) throw new ProtocolError('format', `challenge has ${challenge.length} bytes, not 32`);
  return concat(idBytes(vaultId), idBytes(deviceId), challenge);
}

/** Throws `signature` unless the vault key signed this challenge for this device. */
export function verifyProof(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): void {
  if (!verify(publicKey, 'proof', message, signature))
    throw new ProtocolError('signature', 'proof: signature is not by the vault key');
}
