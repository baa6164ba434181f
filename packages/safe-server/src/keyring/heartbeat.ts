import { createHash } from 'node:crypto';
import { readBlob } from '../blobs/store.ts';
import type { Deps } from '../deps.ts';
import { OperatorError } from '../errors.ts';
import type { KeyRing } from './ring.ts';

const PREFIX = 'meta/clock/';
const MAX_BYTES = 64 * 1024;

/** The last sign of life in the bucket. */
export interface Heartbeat {
  readonly serverId: string;
  /** ms since 1970. */
  readonly time: number;
  /** Ids of the keys that the ring had then; a ring that lacks one of them is not the ring. */
  readonly keyIds: readonly string[];
}

/**
 * The newest heartbeat of a bucket; undefined where none is. Being sealed, it also proves that this ring opens what is
 * stored.
 *
 * @throws OperatorError `keys.cannot-open`
 */
export async function readHeartbeat(blobs: Deps['blobs'], ring: KeyRing): Promise<Heartbeat | undefined> {
  for (const key of (await listed(blobs)).reverse()) {
    const sealed = await readBlob(blobs, key, MAX_BYTES);
    if (sealed === undefined) continue; // a list may still show what was removed (F-37)
    try {
      return JSON.parse(ring.open(key, sealed).toString('utf8')) as Heartbeat;
    } catch (cause) {
      throw new OperatorError('keys.cannot-open', {}, 1, { cause });
    }
  }
  return undefined;
}

/** Writes a heartbeat and removes the ones before it, in this order, so that there always is one. */
export async function writeHeartbeat({ blobs, ring, clock }: Pick<Deps, 'blobs' | 'ring' | 'clock'>): Promise<void> {
  const time = clock();
  const key = `${PREFIX}${String(Math.floor(time / 1000)).padStart(10, '0')}`;
  const beat: Heartbeat = { serverId: ring.serverId, time, keyIds: ring.keyIds() };
  const sealed = ring.seal(key, Buffer.from(JSON.stringify(beat)));
  const earlier = await listed(blobs);
  await blobs.put(key, sealed, { length: sealed.length, sha256: createHash('sha256').update(sealed).digest('hex') });
  for (const old of earlier) if (old < key) await blobs.delete(old);
}

async function listed(blobs: Deps['blobs']): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of blobs.list(PREFIX)) keys.push(key);
  return keys.sort();
}
