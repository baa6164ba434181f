import type { EntityManager } from 'typeorm';
import type { Audit } from '../audit/audit.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { Db } from '../db/unit-of-work.ts';
import { ServerError } from '../errors.ts';
import type { Device } from '../http/route.ts';
import type { KeyRing } from '../keyring/ring.ts';
import type { Room } from './admission.ts';

/** What the vault needs to know of a subscription. */
export interface VaultSubscription {
  readonly state: string;
  /** `YYYY-MM-DD`. */
  readonly expiresOn: string;
  readonly maySend: boolean;
  readonly mayRestore: boolean;
  readonly quotaBytes: number;
}

export interface VaultLimits {
  /** Entries a vault may append within any hour. */
  readonly entriesPerHour: number;
  /** How long an upload may take before the sweeper looks at what became of it, ms. */
  readonly pendingMs: number;
  /** Bytes of the store that no upload may use. */
  readonly reserveBytes: number;
}

/** What the vault routes need from the rest of the server. */
export interface VaultDeps {
  readonly db: Db;
  readonly blobs: BlobStore;
  /** Of a store that is a disk of ours. */
  readonly room?: Room;
  readonly ring: KeyRing;
  /** The database's time, ms since 1970. */
  readonly clock: () => number;
  readonly random: (n: number) => Uint8Array;
  readonly limits: VaultLimits;
  /** Where a damage that a read meets is noted. */
  readonly audit?: Pick<Audit, 'record'>;
  /** The subscription of a subscriber, as it stands now. */
  readonly subscriptionOf: (number: string) => Promise<VaultSubscription>;
  /**
   * Called in the unit of work that creates a vault: its maker becomes active, every other device of the subscriber
   * pending, since only the maker has shown that it knows the key.
   */
  readonly onVaultCreated: (manager: EntityManager, number: string, deviceId: string) => Promise<void>;
}

/** The vault of a device. @throws ServerError `vault-none` */
export function vaultOf(device: Device): string {
  if (device.vaultId === null) throw new ServerError('vault-none');
  return device.vaultId;
}

/** Restoring is never gated on payment; only a closed vault refuses. @throws ServerError `closed` */
export async function requireRestore(deps: VaultDeps, device: Device): Promise<VaultSubscription> {
  const subscription = await deps.subscriptionOf(device.subscriberNumber);
  if (!subscription.mayRestore)
    throw new ServerError('closed', { expiresOn: subscription.expiresOn, state: subscription.state });
  return subscription;
}

/** @throws ServerError `closed`, `suspended`, `subscription-expired` with the date */
export async function requireSend(deps: VaultDeps, device: Device): Promise<VaultSubscription> {
  const subscription = await requireRestore(deps, device);
  if (subscription.maySend) return subscription;
  const { expiresOn, state } = subscription;
  throw new ServerError(state === 'suspended' ? 'suspended' : 'subscription-expired', { expiresOn, state });
}
