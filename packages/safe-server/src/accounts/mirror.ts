import { createHash } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import { readBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import { DeviceEntity, type DeviceRow, type Subscriber, SubscriberEntity } from './entities.ts';

/** Bucket key of a subscriber's n-th state (SPEC 17). */
export function accountKey(number: string, version: number): string {
  return `a/${number}/${version}`;
}

/** Bucket key of a device's n-th state (SPEC 17). */
export function deviceKey(number: string, deviceId: string, version: number): string {
  return `a/${number}/d/${deviceId}/${version}`;
}

const MAX_SEALED = 64 * 1024;

type MirrorDeps = Pick<Deps, 'db' | 'blobs' | 'ring' | 'log'>;

/**
 * Brings the bucket up to date with the accounts and devices that changed: the bucket is the truth from which the
 * database can be made anew. Each state is a numbered, sealed object; the highest number wins, so a skipped one does
 * not matter. What fails stays marked and is tried again with the next call: a change never depends on it.
 *
 * @returns how many objects could not be written
 */
export async function mirrorChanges(deps: MirrorDeps): Promise<number> {
  const { subscribers, devices } = await deps.db.read(async (manager) => ({
    subscribers: await behind<Subscriber>(manager, 'Subscriber'),
    devices: await behind<DeviceRow>(manager, 'Device'),
  }));
  let failed = 0;
  const attempt = async (work: Promise<void>) => {
    await work.catch((err: unknown) => {
      failed += 1;
      deps.log.warn({ err }, 'an account or device is not in the bucket yet');
    });
  };
  for (const row of subscribers) await attempt(mirrorSubscriber(deps, row));
  for (const row of devices) await attempt(mirrorDevice(deps, row));
  return failed;
}

async function behind<T extends object>(manager: EntityManager, entity: string): Promise<T[]> {
  return await manager.createQueryBuilder<T>(entity, 'x').where('x.mirrored < x.version').getMany();
}

async function mirrorSubscriber(deps: MirrorDeps, row: Subscriber): Promise<void> {
  const { mirrored: _, ...state } = row;
  await putSealed(deps, accountKey(row.number, row.version), state);
  await deps.db.write((manager) =>
    manager
      .createQueryBuilder()
      .update(SubscriberEntity)
      .set({ mirrored: row.version })
      .where('number = :number AND mirrored < :version', row)
      .execute(),
  );
}

async function mirrorDevice(deps: MirrorDeps, row: DeviceRow): Promise<void> {
  // when a device was last seen changes hourly and is not worth an object each time
  const { mirrored: _, lastSeenAt: __, ...state } = row;
  await putSealed(deps, deviceKey(row.number, row.deviceId, row.version), state);
  await deps.db.write((manager) =>
    manager
      .createQueryBuilder()
      .update(DeviceEntity)
      .set({ mirrored: row.version })
      .where('device_id = :deviceId AND mirrored < :version', row)
      .execute(),
  );
}

/**
 * Seals and stores. An object that another process stored first holds the same state; another one is from a future that
 * this database has lost (F-35), and is left for `rebuild --catch-up`.
 */
async function putSealed({ ring, blobs }: MirrorDeps, key: string, state: object): Promise<void> {
  const plain = Buffer.from(JSON.stringify(state));
  const sealed = ring.seal(key, plain);
  const facts = { length: sealed.length, sha256: createHash('sha256').update(sealed).digest('hex') };
  if ((await blobs.put(key, sealed, facts)) === 'created') return;
  const there = await readBlob(blobs, key, MAX_SEALED);
  if (there !== undefined && Buffer.compare(ring.open(key, there), plain) === 0) return;
  throw new ServerError('read-only', { detail: 'The bucket is ahead of the database' });
}
