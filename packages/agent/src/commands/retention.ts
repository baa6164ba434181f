import { LOCK_DAYS } from '@cresus-safe/protocol';
import { changeState, loadState } from '../local/state.ts';
import type { Account } from '../vault/remote.ts';
import type { Context } from './context.ts';

/**
 * Notes how long the server says that forgotten snapshots can be taken back, and gives the time it is held to: the
 * longest that it ever promised to this computer. A server that promises less later cannot delete what it promised to keep.
 * @returns days
 */
export function noteRetention({ home, now }: Context, { retentionDays }: Pick<Account, 'retentionDays'>): number {
  const before = loadState(home, now()).promisedDays;
  const promisedDays = Math.max(before ?? 0, retentionDays);
  if (promisedDays !== before) changeState(home, now(), () => ({ promisedDays }));
  return promisedDays;
}

/** What was promised so far, days; the usual time when nothing was. */
export function promisedRetention({ home, now }: Pick<Context, 'home' | 'now'>): number {
  return loadState(home, now()).promisedDays ?? LOCK_DAYS;
}
