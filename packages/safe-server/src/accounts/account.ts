import type { AccountBody } from '@cresus-safe/protocol/http';
import { DEFAULT_PLAN, LOCK_DAYS, PACK_GRANULE_BYTES, parsePlan } from '@cresus-safe/protocol/public';
import type { EntityManager } from 'typeorm';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import type { Device } from '../http/route.ts';
import { findSubscriber, subscriptionOf } from '../subscriptions/subscribers.ts';
import { countDamaged, countDamagedSnapshots } from '../vaults/damage.ts';
import type { VaultRow } from '../vaults/entities.ts';
import { shownHead } from '../vaults/history.ts';
import { findPlan, findVaultOf } from '../vaults/journal-store.ts';
import { receiptKeyBodies } from './receipt-keys.ts';

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
      quota: quotaUse(vault, quotaBytes),
      serverTime: now,
      serverId: deps.ring.serverId,
      receiptKeys: receiptKeyBodies(deps.ring),
      vault: vault === null ? 'none' : 'exists',
      head: vault && (await shownHead(manager, vault.vaultId)),
      ...(await damageOf(manager, vault)),
      retentionDays: LOCK_DAYS,
      plan: await planOf(manager, vault),
    };
  });
}

/** Damage is rare: only where there is some are lists of packs read. */
async function damageOf(
  manager: EntityManager,
  vault: VaultRow | null,
): Promise<Pick<AccountBody, 'damagedPacks' | 'damagedSnapshots'>> {
  const damagedPacks = vault === null ? 0 : await countDamaged(manager, vault.vaultId);
  const damagedSnapshots = vault === null ? 0 : await countDamagedSnapshots(manager, vault.vaultId, damagedPacks > 0);
  return { damagedPacks, damagedSnapshots };
}

function quotaUse(vault: VaultRow | null, bytes: number): AccountBody['quota'] {
  const { usedBytes = 0, usedObjects = 0 } = vault ?? {};
  // a pack has at least one granule, so the quota of bytes is also one of objects (TN-33)
  return { bytes, usedBytes, objects: Math.floor(bytes / PACK_GRANULE_BYTES), usedObjects };
}

async function planOf(manager: EntityManager, vault: VaultRow | null): Promise<AccountBody['plan']> {
  const attachment = vault === null ? undefined : await findPlan(manager, vault.vaultId);
  return { ...(attachment === undefined ? DEFAULT_PLAN : parsePlan(attachment)) };
}
