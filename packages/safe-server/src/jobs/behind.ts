import { Like } from 'typeorm';
import { DeviceEntity, MetaEntity, SubscriberEntity } from '../accounts/entities.ts';
import { accountKey, deviceKey } from '../accounts/mirror.ts';
import { journalKey } from '../blobs/keys.ts';
import type { Deps } from '../deps.ts';
import { VaultEntity } from '../vaults/entities.ts';
import { findVault } from '../vaults/journal-store.ts';
import { gapName } from './rebuild-marks.ts';

/** Objects that are asked for at once. */
const AT_ONCE = 32;

/**
 * Whether the bucket has an account, a device or an entry beyond what the database knows: then this database was
 * restored from an older backup (F-35). Asks for each next object by its name, never by a list (F-37).
 *
 * @returns the first such key; undefined when the database is up to date
 */
export async function findBehind({ db, blobs }: Pick<Deps, 'db' | 'blobs'>): Promise<string | undefined> {
  const { subscribers, devices, vaults } = await db.read(async (manager) => ({
    subscribers: await manager.find(SubscriberEntity, { select: { number: true, version: true } }),
    devices: await manager.find(DeviceEntity, { select: { number: true, deviceId: true, version: true } }),
    vaults: await manager.find(VaultEntity, { select: { vaultId: true, headSeq: true } }),
  }));
  const broken = new Set(await brokenVaults(db));
  const next = [
    ...subscribers.map((row) => ({ key: accountKey(row.number, row.version + 1), row })),
    ...devices.map((row) => ({ key: deviceKey(row.number, row.deviceId, row.version + 1), row })),
    ...vaults
      .filter(({ vaultId }) => !broken.has(vaultId))
      .map((row) => ({ key: journalKey(row.vaultId, row.headSeq + 1), row })),
  ];
  for (let at = 0; at < next.length; at += AT_ONCE) {
    const some = next.slice(at, at + AT_ONCE);
    const found = await Promise.all(some.map(({ key }) => blobs.stat(key)));
    for (const [index, stat] of found.entries()) {
      const one = some[index];
      if (stat !== undefined && one !== undefined && (await isStill(db, one.row))) return one.key;
    }
  }
  return await findUnknown({ db, blobs });
}

/** An account or device that the database has never heard of: only a list can show it. */
async function findUnknown({ db, blobs }: Pick<Deps, 'db' | 'blobs'>): Promise<string | undefined> {
  for await (const key of blobs.list('a/')) {
    const [, number = '', sort, deviceId = ''] = key.split('/');
    const known = await db.read((manager) =>
      sort === 'd' ? manager.existsBy(DeviceEntity, { deviceId }) : manager.existsBy(SubscriberEntity, { number }),
    );
    if (!known) return key;
  }
  return undefined;
}

/** Vaults whose journal breaks off in the bucket: what lies behind the break cannot be imported. */
async function brokenVaults(db: Deps['db']): Promise<string[]> {
  const marks = await db.read((manager) => manager.findBy(MetaEntity, { name: Like(gapName('%')) }));
  return marks.map(({ name }) => name.slice(gapName('').length));
}

/** Another server may have written the object a moment ago: then the database knows of it by now. */
async function isStill(
  db: Deps['db'],
  row: { vaultId?: string; headSeq?: number; number?: string; deviceId?: string; version?: number },
): Promise<boolean> {
  return await db.read(async (manager) => {
    if (row.vaultId !== undefined) return (await findVault(manager, row.vaultId))?.headSeq === row.headSeq;
    const { number = '', deviceId } = row;
    const known =
      deviceId === undefined
        ? await manager.findOneBy(SubscriberEntity, { number })
        : await manager.findOneBy(DeviceEntity, { deviceId });
    return known?.version === row.version;
  });
}
