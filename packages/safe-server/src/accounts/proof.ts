import { asDeviceId, asVaultId, parseHeader, proofMessage, verifyProof } from '@cresus-safe/protocol/public';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import type { Device } from '../http/route.ts';
import { consumeChallenge } from '../vaults/challenge.ts';
import { findHeader, findVault } from '../vaults/journal-store.ts';
import { activateDevice } from './devices.ts';
import { mirrorChanges } from './mirror.ts';

/**
 * Checks that a device knows the vault key in force, and makes it active. The challenge is used up by the attempt,
 * right or wrong, before anything is verified.
 *
 * @throws ServerError `vault-none`, `bad-signature`, `unauthorized` when the device was revoked meanwhile
 */
export async function proveDevice(deps: Deps, device: Device, signature: Uint8Array): Promise<void> {
  const { deviceId, vaultId } = device;
  if (vaultId === null) throw new ServerError('vault-none');
  const challenge = await deps.db.write((manager) => consumeChallenge(manager, deviceId, deps.clock()));
  if (challenge === undefined)
    throw new ServerError('bad-signature', { detail: 'There is no open challenge: ask for the vault again' });
  const message = proofMessage(asVaultId(vaultId), asDeviceId(deviceId), challenge);
  try {
    verifyProof(await currentKey(deps, vaultId), message, signature);
  } catch (cause) {
    throw new ServerError('bad-signature', {}, { cause });
  }
  await deps.db.write(async (manager) => {
    if (!(await activateDevice(manager, deviceId))) throw new ServerError('unauthorized');
    const event = { actor: `device:${deviceId}`, number: device.subscriberNumber, operation: 'device-proof' };
    await deps.audit.record(manager, event);
  });
  deps.log.info({ device: deviceId, number: device.subscriberNumber }, 'device proved that it knows the vault key');
  await mirrorChanges(deps);
}

async function currentKey(deps: Deps, vaultId: string): Promise<Uint8Array> {
  const header = await deps.db.read(async (manager) => {
    const vault = await findVault(manager, vaultId);
    return vault === null ? null : await findHeader(manager, vaultId, vault.headerSeq);
  });
  if (header === null) throw new ServerError('vault-none');
  return parseHeader(header.header).publicKey;
}
