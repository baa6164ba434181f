import { createHash } from 'node:crypto';
import { PACK_GRANULE_BYTES } from '@cresus-safe/protocol/public';
import { packKey } from '../blobs/keys.ts';
import { crashPoint } from '../crash.ts';
import { ServerError } from '../errors.ts';
import type { Device, UploadBody } from '../http/route.ts';
import type { Admission } from './admission.ts';
import { requireSend, type VaultDeps, vaultOf } from './deps.ts';
import { checkStored, finishPack, releasePack, renewPacks, reservePack } from './pack-store.ts';

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
  crashPoint('pack-pending');
  try {
    await deps.blobs.put(packKey(vaultId, packId), chunks, { length: pack.length, sha256: packId });
  } catch (error) {
    // one that was taken over may have its object already: that is for the sweeper to find out
    if (reservation === 'reserved') await deps.db.write((manager) => releasePack(manager, pack));
    throw error;
  }
  crashPoint('pack-renamed');
  await deps.db.write((manager) => finishPack(manager, pack, deps.clock()));
  crashPoint('pack-stored');
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
