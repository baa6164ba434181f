import { isIPv6 } from 'node:net';
import { type EntityManager, LessThan } from 'typeorm';
import { lockName } from '../db/locks.ts';
import { AttemptEntity } from './entities.ts';

const WINDOW = 15 * 60_000;
/** Wrong codes that one source may try in a window. */
const PER_SOURCE = 10;
/** Once so many were tried from everywhere, each source gets `PER_SOURCE_STRICT`: a botnet is slowed, nobody is locked out. */
const GLOBAL = 300;
const PER_SOURCE_STRICT = 3;
const EVERYWHERE = '*';

/**
 * Where a guess comes from: the IPv4 address, or the /64 of an IPv6 one, since whoever has one address of it has them
 * all (TN-25).
 */
export function sourceOf(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  if (mapped !== undefined) return mapped;
  const [address = ''] = ip.split('%');
  return isIPv6(address) ? `${network(address)}::/64` : address;
}

/** The first four groups of an IPv6 address, without leading zeros. */
function network(address: string): string {
  const [left = '', right] = address.toLowerCase().split('::');
  const start = left === '' ? [] : left.split(':');
  const end = right === undefined || right === '' ? [] : right.split(':');
  const gap = right === undefined ? [] : Array<string>(Math.max(0, 8 - start.length - end.length)).fill('0');
  return [...start, ...gap, ...end]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}

/** Seconds until this source may guess again; undefined when it may now. Limits by source only: no account can be locked by others. */
export async function mustWait(manager: EntityManager, source: string, now: number): Promise<number | undefined> {
  await lockName(manager, `guess ${source}`); // guesses side by side are counted one after the other
  const window = now - (now % WINDOW);
  const rows = await manager.findBy(AttemptEntity, [
    { source, window },
    { source: EVERYWHERE, window },
  ]);
  const count = (name: string) => rows.find((row) => row.source === name)?.count ?? 0;
  const allowed = count(EVERYWHERE) >= GLOBAL ? PER_SOURCE_STRICT : PER_SOURCE;
  return count(source) >= allowed ? Math.ceil((window + WINDOW - now) / 1000) : undefined;
}

/** Counts a wrong guess, and forgets those of earlier windows. */
export async function countGuess(manager: EntityManager, source: string, now: number): Promise<void> {
  const window = now - (now % WINDOW);
  await manager.delete(AttemptEntity, { window: LessThan(window) });
  for (const name of [source, EVERYWHERE]) {
    await manager
      .createQueryBuilder()
      .insert()
      .into(AttemptEntity)
      .values({ source: name, window, count: 0 })
      .orIgnore()
      .execute();
    await manager.increment(AttemptEntity, { source: name, window }, 'count', 1);
  }
}
