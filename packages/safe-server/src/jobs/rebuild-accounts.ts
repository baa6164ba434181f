import { DeviceEntity, SubscriberEntity } from '../accounts/entities.ts';
import { accountKey, deviceKey } from '../accounts/mirror.ts';
import { readBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';

const MAX_SEALED = 64 * 1024;
const ACCOUNT = /^a\/(\d{1,12})\/(\d{1,10})$/;
const DEVICE = /^a\/(\d{1,12})\/d\/([0-9a-f]{32})\/(\d{1,10})$/;

/** What importing needs. */
export type ImportDeps = Pick<Deps, 'db' | 'blobs' | 'ring' | 'clock'>;

/** The newest state of an account or a device, opened. */
interface Newest {
  readonly key: string;
  readonly number: string;
  readonly deviceId: string | undefined;
  readonly version: number;
  readonly state: Record<string, unknown>;
}

/** How many accounts and devices the bucket has, and how many of them the database did not have so. */
export interface AccountCounts {
  accounts: number;
  devices: number;
  changed: number;
}

/**
 * Opens the newest state of every account and device, and writes nothing: a ring that is not the one of this bucket is
 * found here, before anything is changed.
 *
 * @throws ServerError `stored-damaged` for an object that does not open
 */
export async function readAccounts(deps: ImportDeps): Promise<Newest[]> {
  const newest = new Map<string, { number: string; deviceId: string | undefined; version: number }>();
  for await (const key of deps.blobs.list('a/')) {
    const [, number = '', deviceId, version] = DEVICE.exec(key) ?? withoutDevice(ACCOUNT.exec(key)) ?? [];
    if (number === '') continue;
    const name = `${number}/${deviceId ?? ''}`;
    const known = newest.get(name)?.version ?? 0;
    if (Number(version) > known) newest.set(name, { number, deviceId, version: Number(version) });
  }
  const found: Newest[] = [];
  for (const one of newest.values()) found.push(await open(deps, one));
  // an account before its devices
  return found.sort((a, b) => Number(a.deviceId !== undefined) - Number(b.deviceId !== undefined));
}

function withoutDevice(match: RegExpExecArray | null): (string | undefined)[] | null {
  return match && [match[0], match[1], undefined, match[2]];
}

/** A list may lag behind (F-37), so the next versions are asked for by name. */
async function open(
  { blobs, ring }: ImportDeps,
  { number, deviceId, version: listed }: { number: string; deviceId: string | undefined; version: number },
): Promise<Newest> {
  const keyOf = (n: number) => (deviceId === undefined ? accountKey(number, n) : deviceKey(number, deviceId, n));
  let version = listed;
  while ((await blobs.stat(keyOf(version + 1))) !== undefined) version += 1;
  const key = keyOf(version);
  const sealed = await readBlob(blobs, key, MAX_SEALED);
  const plain = ring.open(key, sealed ?? Buffer.alloc(0));
  return { key, number, deviceId, version, state: JSON.parse(plain.toString('utf8')) as Record<string, unknown> };
}

/** Brings these states into the database, where it does not have them or later ones. */
export async function importAccounts({ db }: ImportDeps, states: readonly Newest[]): Promise<AccountCounts> {
  const counts = { accounts: 0, devices: 0, changed: 0 };
  for (const { number, deviceId, version, state } of states) {
    counts[deviceId === undefined ? 'accounts' : 'devices'] += 1;
    // both have version and mirrored, which is all that is looked at here
    const entity = (deviceId === undefined ? SubscriberEntity : DeviceEntity) as typeof SubscriberEntity;
    const where: object = deviceId === undefined ? { number } : { deviceId };
    await db.write(async (manager) => {
      const known = await manager.findOneBy(entity, where);
      if (known === null) await manager.insert(entity, { ...state, mirrored: version });
      else if (known.version < version) await manager.update(entity, where, { ...state, mirrored: version });
      if (known === null || known.version < version) counts.changed += 1;
      // a bucket that lost the newest state gets it again from the regular mirror
      else if (known.version > version) await manager.update(entity, where, { mirrored: version });
    });
  }
  return counts;
}
