import type { EnrolmentBody } from '@cresus-safe/protocol/http';
import type { EntityManager } from 'typeorm';
import { lockDevices } from '../db/locks.ts';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import { findSubscriber, subscriptionOf } from '../subscriptions/subscribers.ts';
import { findVaultOf } from '../vaults/journal-store.ts';
import { redeemCode } from './codes.ts';
import { hashToken } from './devices.ts';
import { DeviceEntity, type DeviceRow, type Subscriber } from './entities.ts';
import { countGuess, mustWait, sourceOf } from './guesses.ts';
import { mirrorChanges } from './mirror.ts';
import { receiptKeyBodies } from './receipt-keys.ts';

type Outcome =
  | { kind: 'wait'; seconds: number }
  | { kind: 'refused' }
  | { kind: 'enrolled'; subscriber: Subscriber; device: DeviceRow; vault: 'none' | 'exists' };

/**
 * Turns a single-use code into a device with its token. Without a vault the device is active and may create one; where
 * one exists it is pending until it proves that it knows the vault's key. Announced in the log and the audit log.
 *
 * @throws ServerError `code-refused` alike for unknown, used and expired codes and closed subscriptions; `rate-limited`
 */
export async function enrol(
  deps: Deps,
  { code, name, ip }: { code: string; name: string; ip: string },
): Promise<EnrolmentBody> {
  const token = Buffer.from(deps.random(32)).toString('base64url');
  const source = sourceOf(ip);
  const outcome = await deps.db.write((manager) => decide(deps, manager, { code, name, token, source }));
  if (outcome.kind === 'wait') throw new ServerError('rate-limited', { retryAfter: outcome.seconds });
  if (outcome.kind === 'refused') throw new ServerError('code-refused');
  const { device, subscriber, vault } = outcome;
  deps.log.info({ device: device.deviceId, number: subscriber.number, state: device.state }, 'device enrolled');
  await mirrorChanges(deps);
  const { quotaBytes: _, ...subscription } = await deps.db.read((manager) =>
    subscriptionOf(manager, subscriber, { now: deps.clock(), durations: deps.config.durations }),
  );
  const { deviceId, number } = device;
  const { serverId } = deps.ring;
  return { deviceId, token, number, serverId, receiptKeys: receiptKeyBodies(deps.ring), subscription, vault };
}

/** In one unit of work, so that a code serves once and every wrong guess counts. */
async function decide(
  deps: Deps,
  manager: EntityManager,
  { code, name, token, source }: { code: string; name: string; token: string; source: string },
): Promise<Outcome> {
  const now = deps.clock();
  const seconds = await mustWait(manager, source, now);
  if (seconds !== undefined) return { kind: 'wait', seconds };
  const number = await redeemCode(manager, code, now);
  const subscriber = number === undefined ? null : await findSubscriber(manager, number);
  if (subscriber === null || !(await mayRestore(deps, manager, subscriber))) {
    await countGuess(manager, source, now);
    return { kind: 'refused' };
  }
  await lockDevices(manager, subscriber.number);
  const vault = (await findVaultOf(manager, subscriber.number)) === null ? 'none' : 'exists';
  const device = newDevice(deps, { subscriber, name, token, state: vault === 'none' ? 'active' : 'pending' });
  await manager.insert(DeviceEntity, device);
  const actor = `device:${device.deviceId}`;
  const facts = { name, state: device.state, source };
  await deps.audit.record(manager, { actor, number: subscriber.number, operation: 'device-enrol', facts });
  return { kind: 'enrolled', subscriber, device, vault };
}

async function mayRestore(deps: Deps, manager: EntityManager, subscriber: Subscriber): Promise<boolean> {
  const terms = { now: deps.clock(), durations: deps.config.durations };
  return (await subscriptionOf(manager, subscriber, terms)).mayRestore;
}

function newDevice(
  deps: Deps,
  facts: { subscriber: Subscriber; name: string; token: string; state: DeviceRow['state'] },
): DeviceRow {
  return {
    deviceId: Buffer.from(deps.random(16)).toString('hex'),
    number: facts.subscriber.number,
    name: facts.name,
    tokenHash: hashToken(facts.token),
    state: facts.state,
    rights: 'read,append',
    createdAt: deps.clock(),
    lastSeenAt: null,
    revokedAt: null,
    version: 1,
    mirrored: 0,
  };
}
