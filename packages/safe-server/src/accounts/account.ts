import type { AccountBody } from '@cresus-safe/protocol/http';
import { DEFAULT_PLAN, PACK_GRANULE_BYTES, parsePlan } from '@cresus-safe/protocol/public';
import { type EntityManager, Not } from 'typeorm';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import type { Device } from '../http/route.ts';
import { findSubscriber, subscriptionOf } from '../subscriptions/subscribers.ts';
import { countDamaged } from '../vaults/damage.ts';
import { PackEntity, type VaultRow } from '../vaults/entities.ts';
import { shownHead } from '../vaults/history.ts';
import { findPlan, findVaultOf } from '../vaults/journal-store.ts';
import { receiptKeyBodies } from './receipt-keys.ts';

/** How long a forgotten snapshot can be taken back; the purge that keeps to it comes with the collection of garbage. */
const RETENTION_DAYS = 30;

/** Everything an agent shows about its subscription and its vault. */
export async function showAccount(deps: Deps, device: Device): Promise<AccountBody> {
  const now = deps.clock();
  return await deps.db.read(async (manager) => {
    const subscriber = await findSubscriber(manager, device.subscriberNumber);
    if (subscriber === null) throw new ServerError('unauthorized');
    const terms = { now, durations: deps.config.durations };
    const { quotaBytes, ...subscription } = await subscriptionOf(manager, subscriber, terms);
    const vault = await findVaultOf(manager, subscriber.number);
    return {
      number: subscriber.number,
      name: subscriber.name,
      lang: subscriber.language,
      deviceId: device.deviceId,
      deviceState: device.state,
      subscription,
      quota: await quotaUse(manager, vault, quotaBytes),
      serverTime: now,
      serverId: deps.ring.serverId,
      receiptKeys: receiptKeyBodies(deps.ring),
      vault: vault === null ? 'none' : 'exists',
      head: vault && (await shownHead(manager, vault.vaultId)),
      damagedPacks: vault === null ? 0 : await countDamaged(manager, vault.vaultId),
      retentionDays: RETENTION_DAYS,
      plan: await planOf(manager, vault),
    };
  });
}

async function quotaUse(manager: EntityManager, vault: VaultRow | null, bytes: number): Promise<AccountBody['quota']> {
  const usedObjects =
    vault === null ? 0 : await manager.countBy(PackEntity, { vaultId: vault.vaultId, state: Not('gone') });
  // a pack has at least one granule, so the quota of bytes is also one of objects (TN-33)
  return { bytes, usedBytes: vault?.usedBytes ?? 0, objects: Math.floor(bytes / PACK_GRANULE_BYTES), usedObjects };
}

async function planOf(manager: EntityManager, vault: VaultRow | null): Promise<AccountBody['plan']> {
  const attachment = vault === null ? undefined : await findPlan(manager, vault.vaultId);
  return { ...(attachment === undefined ? DEFAULT_PLAN : parsePlan(attachment)) };
}
