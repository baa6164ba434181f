import { createHash } from 'node:crypto';
import { PACK_GRANULE_BYTES } from '@cresus-safe/protocol/public';
import { checkObject } from '../blobs/check.ts';
import { packKey } from '../blobs/keys.ts';
import { crashPoint } from '../crash.ts';
import { ServerError } from '../errors.ts';
import type { Device, UploadBody } from '../http/route.ts';
import type { Admission } from './admission.ts';
import { claimHealing, endHealing } from './damage.ts';
import { requireSend, type VaultDeps, vaultOf } from './deps.ts';
import { checkStored, finishPack, releasePack, renewPacks, reservePack } from './pack-store.ts';

/** How long one upload may look at a damaged object and put it away. */
const HEALING_MS = 15_000;

/**
 * Takes in one pack: admit, reserve, stream and hash, make it visible, note it as stored, in this order, so that a crash leaves
 * a reservation that the sweeper settles, never an object nobody knows of (F-14). Existing packs of *other* vaults play
 * no role: whether somebody else has the same bytes is nobody's business (TN-05).
 *
 * @throws ServerError `length-required`, `invalid`, `hash-mismatch`, `pack-differs`, `pack-gone`, `quota`,
 *   `storage-full`, or what a subscription that may not send gives
 */
export async function receivePack(
  deps: VaultDeps & { readonly admission: Admission },
  device: Device,
  packId: string,
  body: UploadBody,
): Promise<'stored' | 'existed'> {
  const vaultId = vaultOf(device);
  const { quotaBytes } = await requireSend(deps, device);
  const pack = { vaultId, packId, length: checkLength(body.length) };
  const leave = await deps.admission.enter(pack.length);
  try {
    return await storePack(deps, pack, { quotaBytes, chunks: body.chunks });
  } finally {
    leave();
  }
}

async function storePack(
  deps: VaultDeps,
  pack: { readonly vaultId: string; readonly packId: string; readonly length: number },
  { quotaBytes, chunks }: { quotaBytes: number; chunks: UploadBody['chunks'] },
): Promise<'stored' | 'existed'> {
  const { vaultId, packId } = pack;
  const now = deps.clock();
  const terms = { now, expiresAt: now + deps.limits.pendingMs, quotaBytes };
  const reservation = await deps.db.write((manager) => reservePack(manager, pack, terms));
  if (reservation === 'existed') return await compareWithStored(packId, chunks);
  if (reservation === 'damaged') return await healInPlace(deps, pack, chunks);
  crashPoint('pack-pending');
  try {
    await putPack(deps, packKey(vaultId, packId), { length: pack.length, sha256: packId }, chunks);
  } catch (error) {
    // one that was taken over, or whose store gave no answer, may have its object: that is for the sweeper to find out
    const isUnknown = error instanceof ServerError && error.code === 'store-unavailable';
    if (reservation === 'reserved' && !isUnknown) await deps.db.write((manager) => releasePack(manager, pack));
    throw error;
  }
  crashPoint('pack-renamed');
  await deps.db.write((manager) => finishPack(manager, pack, deps.clock()));
  crashPoint('pack-stored');
  return 'stored';
}

/** An object that is there already, from an upload whose answer was lost, counts only if it is these very bytes (F-29). */
async function putPack(
  { blobs }: VaultDeps,
  key: string,
  facts: { readonly length: number; readonly sha256: string },
  chunks: UploadBody['chunks'],
): Promise<void> {
  if ((await blobs.put(key, chunks, facts)) === 'created' || (await checkObject(blobs, key, facts)) === 'whole') return;
  await blobs.delete(key); // its row is pending, so nothing counts on it
  throw new ServerError('store-unavailable', { retryAfter: 1, detail: 'Another object was in the way: send it again' });
}

/**
 * The very bytes of a pack whose object is missing or rotten. Objects are never overwritten: what is there is read once
 * more, and only if it is rotten indeed does it go before the new one comes. The row says `damaged` all the while.
 *
 * @throws ServerError `busy` while another upload does the same
 */
async function healInPlace(
  deps: VaultDeps,
  pack: { readonly vaultId: string; readonly packId: string; readonly length: number },
  chunks: UploadBody['chunks'],
): Promise<'stored' | 'existed'> {
  const { db, blobs, clock } = deps;
  const now = clock();
  const until = now + HEALING_MS;
  if (!(await db.write((manager) => claimHealing(manager, pack, { now, until }))))
    throw new ServerError('busy', { retryAfter: 5 });
  const end = (healed: boolean) => db.write((manager) => endHealing(manager, pack, { until, now: clock(), healed }));
  const key = packKey(pack.vaultId, pack.packId);
  const facts = { length: pack.length, sha256: pack.packId };
  try {
    if ((await checkObject(blobs, key, facts)) === 'whole') {
      await end(true);
      return await compareWithStored(pack.packId, chunks);
    }
    if (clock() >= until) throw new ServerError('busy', { retryAfter: 5 }); // another upload may have the leave by now
    await blobs.delete(key);
    crashPoint('heal-deleted');
    await blobs.put(key, chunks, facts);
    crashPoint('heal-put');
  } catch (error) {
    await end(false);
    throw error;
  }
  await end(true);
  return 'stored';
}

/**
 * Renews the grace of packs that a long first send has not committed yet.
 *
 * @returns those that are not stored
 */
export async function keepPacks(deps: VaultDeps, device: Device, packIds: readonly string[]): Promise<string[]> {
  const vaultId = vaultOf(device);
  await requireSend(deps, device);
  await deps.db.write((manager) => renewPacks(manager, vaultId, packIds, deps.clock()));
  const { missing } = await deps.db.read((manager) => checkStored(manager, vaultId, packIds));
  return missing;
}

/** Packs have sizes in steps of 256 KiB (SPEC 10.2), so that their sizes tell little and cannot be many and tiny. */
function checkLength(length: number | undefined): number {
  if (length === undefined) throw new ServerError('length-required');
  if (length === 0 || length % PACK_GRANULE_BYTES !== 0)
    throw new ServerError('invalid', { detail: 'The length of a pack is a multiple of 256 KiB' });
  return length;
}

/** The pack is there: the body is read all the same, to keep the connection, and must be these very bytes (TN-08). */
async function compareWithStored(packId: string, chunks: AsyncIterable<Buffer>): Promise<'existed'> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  if (hash.digest('hex') !== packId) throw new ServerError('pack-differs');
  return 'existed';
}
