import { createHash } from 'node:crypto';
import { type EntityManager, IsNull } from 'typeorm';
import { lockDevices } from '../db/locks.ts';
import type { Deps } from '../deps.ts';
import type { Device, Right } from '../http/route.ts';
import { VaultEntity } from '../vaults/entities.ts';
import { DeviceEntity, type DeviceRow, ElevationEntity } from './entities.ts';

const SEEN_EVERY = 3_600_000;

/** What a token is stored as. It has 256 random bits, so a plain hash is enough. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/**
 * The device of a token, looked up in the database for every request: a revoked token is refused at once (TN-02).
 * Undefined for an unknown or revoked one.
 */
export async function deviceOfToken(
  deps: Pick<Deps, 'db' | 'clock' | 'log'>,
  token: string,
): Promise<Device | undefined> {
  const tokenHash = hashToken(token);
  const row = await deps.db.read((manager) =>
    manager
      .createQueryBuilder(DeviceEntity, 'd')
      .leftJoin(VaultEntity.options.name, 'v', 'v.number = d.number')
      .leftJoin(ElevationEntity.options.name, 'e', 'e.device_id = d.device_id')
      .select(['d.device_id AS id', 'd.number AS number', 'd.state AS state', 'd.rights AS rights'])
      .addSelect(['d.last_seen_at AS seen', 'v.vault_id AS vault', 'e.until_time AS elevated'])
      .where('d.token_hash = :tokenHash AND d.revoked_at IS NULL', { tokenHash })
      .getRawOne<{
        id: string;
        number: string;
        state: Device['state'];
        rights: string;
        seen: number | null;
        vault: string | null;
        elevated: number | null;
      }>(),
  );
  if (row === undefined) return undefined;
  if (deps.clock() - Number(row.seen ?? 0) >= SEEN_EVERY) await noteSeen(deps, row.id);
  const rights = new Set(row.rights.split(',') as Right[]);
  if (Number(row.elevated ?? 0) > deps.clock()) rights.add('forget');
  return { deviceId: row.id, subscriberNumber: row.number, vaultId: row.vault, state: row.state, rights };
}

/** Hourly at most, and never in the way of the request: a busy database only loses this note. */
async function noteSeen({ db, clock, log }: Pick<Deps, 'db' | 'clock' | 'log'>, deviceId: string): Promise<void> {
  try {
    await db.write((manager) => manager.update(DeviceEntity, { deviceId }, { lastSeenAt: clock() }));
  } catch (err) {
    log.warn({ err, device: deviceId }, 'last seen was not noted');
  }
}

/** The devices of a subscriber, oldest first, revoked ones too. */
export async function listDevices(manager: EntityManager, number: string): Promise<DeviceRow[]> {
  return await manager.find(DeviceEntity, { where: { number }, order: { createdAt: 'ASC', deviceId: 'ASC' } });
}

/** Revokes a device of a subscriber; false when the subscriber has no such device that is not revoked yet. */
export async function revokeDevice(
  manager: EntityManager,
  { number, deviceId, now }: { number: string; deviceId: string; now: number },
): Promise<boolean> {
  const result = await manager.update(
    DeviceEntity,
    { number, deviceId, revokedAt: IsNull() },
    { revokedAt: now, version: () => 'version + 1' },
  );
  return result.affected === 1;
}

/** Makes a device active, which has shown that it knows the vault key; false when it was revoked meanwhile. */
export async function activateDevice(manager: EntityManager, deviceId: string): Promise<boolean> {
  const result = await manager.update(
    DeviceEntity,
    { deviceId, revokedAt: IsNull() },
    { state: 'active', version: () => 'version + 1' },
  );
  return result.affected === 1;
}

/**
 * For the unit of work that creates a vault: its maker becomes active, every other device of the subscriber pending,
 * since only the maker has shown that it knows the key.
 */
export async function onVaultCreated(manager: EntityManager, number: string, deviceId: string): Promise<void> {
  await lockDevices(manager, number);
  await manager
    .createQueryBuilder()
    .update(DeviceEntity)
    .set({ state: 'pending', version: () => 'version + 1' })
    .where('number = :number AND device_id <> :deviceId AND state <> :state', { number, deviceId, state: 'pending' })
    .execute();
  await activateDevice(manager, deviceId);
}
