import {
  asServerId,
  encodeFrame,
  type HealFrame,
  parseHeal,
  type Receipt,
  verifyReceipt,
} from '@cresus-safe/protocol/public';
import { journalKey } from '../blobs/keys.ts';
import { ServerError } from '../errors.ts';
import type { Device } from '../http/route.ts';
import { requireRestore, type VaultDeps } from './deps.ts';
import { LostFrameEntity } from './entities.ts';
import { type Appends, commitEntry, ownVault, requirePacks } from './journal.ts';
import { findEntry, findVaultOf, type Head } from './journal-store.ts';
import { mirrorEntry, putAgain } from './mirror.ts';
import { parsing } from './parsing.ts';
import { checkEntry } from './rules.ts';

/**
 * Takes back entries that this server once acknowledged and then lost (its database was restored from an older backup).
 * Each carries this server's own receipt, which is the proof that it was checked and accepted, so whose device sends it,
 * rates and subscription do not matter; signature, chain and packs do. Entries that are there already are passed over.
 *
 * @returns the head afterwards
 * @throws ServerError `bad-signature`, `bad-entry`, `missing-packs`; `stale-head` for a gap, `seq-taken` for another entry
 *   in the same place
 */
export async function heal(deps: VaultDeps, appends: Appends, device: Device, bytes: Uint8Array): Promise<Head | null> {
  if (device.state === 'pending' && device.vaultId !== null) throw new ServerError('pending');
  if (!device.rights.has('append')) throw new ServerError('forbidden');
  await requireRestore(deps, device);
  const keys = deps.ring.receiptKeys();
  const serverId = asServerId(deps.ring.serverId);
  for (const frame of parsing(() => parseHeal(bytes))) {
    parsing(() => verifyReceipt(frame.receipt, keys, serverId));
    const { vaultId } = frame.request.entry;
    if (device.vaultId !== null && vaultId !== device.vaultId)
      throw new ServerError('bad-entry', { detail: 'vaultId is not this vault' });
    await appends.run(vaultId, () => healOne(deps, device, frame));
  }
  const vault = await deps.db.read((manager) => findVaultOf(manager, device.subscriberNumber));
  return vault && { seq: vault.headSeq, hash: vault.headHash };
}

async function healOne(deps: VaultDeps, device: Device, { request, receipt }: HealFrame): Promise<void> {
  const { vaultId, seq, hash, previous, kind } = request.entry;
  const vault = await ownVault(deps, device, vaultId);
  const head = vault && { seq: vault.headSeq, hash: vault.headHash };
  if (vault && seq <= vault.headSeq) {
    const known = await deps.db.read((manager) => findEntry(manager, vaultId, seq));
    if (known?.entryHash !== hash || Buffer.compare(known.receipt, receipt.encoded) !== 0)
      throw new ServerError('seq-taken', { head });
    await mirrorEntry(deps, vaultId, seq);
    await restoreRecord(deps, request, receipt);
    return;
  }
  if (vault ? seq !== vault.headSeq + 1 || previous !== vault.headHash : kind !== 'vault-create')
    throw new ServerError('stale-head', { head: head ?? null });
  if (vault) await mirrorEntry(deps, vaultId, vault.headSeq);
  await deps.db.read((manager) => checkEntry(manager, request, vault, undefined));
  const bytes = await requirePacks(deps, request);
  if (bytes !== receipt.bytes)
    throw new ServerError('bad-entry', { detail: 'The packs do not have the bytes of the receipt' });
  await commitEntry(deps, device, request, receipt);
  await mirrorEntry(deps, vaultId, seq);
}

/** A record that a scrub found lost comes back with its whole request, whose hashes are those of the entry that is known. */
async function restoreRecord(deps: VaultDeps, request: HealFrame['request'], receipt: Receipt): Promise<void> {
  const { vaultId, seq, bytes } = request.entry;
  const lost = await deps.db.read((manager) => manager.findOneBy(LostFrameEntity, { vaultId, seq }));
  if (lost === null) return;
  const { packIds, attachment } = request;
  const frame = encodeFrame({ entry: bytes, packIds, attachment, receipt: receipt.encoded });
  await putAgain(deps.blobs, journalKey(vaultId, seq), frame);
  await deps.db.write((manager) => manager.delete(LostFrameEntity, { vaultId, seq }));
}
