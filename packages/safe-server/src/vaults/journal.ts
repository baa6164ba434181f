import {
  asKeyId,
  asServerId,
  encodeReceipt,
  type JournalRequest,
  parseReceipt,
  parseRequest,
  type Receipt,
} from '@cresus-safe/protocol/public';
import { shareKey } from '../blobs/keys.ts';
import { readBlob } from '../blobs/store.ts';
import { crashPoint } from '../crash.ts';
import { ServerError } from '../errors.ts';
import type { Device } from '../http/route.ts';
import { requireRestore, requireSend, type VaultDeps } from './deps.ts';
import type { VaultRow } from './entities.ts';
import { type Appended, AppendRefused, countSince, findEntry, findVault, insertEntry } from './journal-store.ts';
import { KeyedQueue } from './keyed-queue.ts';
import { mirrorEntry, requireFree } from './mirror.ts';
import { checkStored } from './pack-store.ts';
import { checkPartSizes, parsing } from './parsing.ts';
import { checkEntry, needsSubscription } from './rules.ts';

const HOUR_MS = 3600 * 1000;
const MAX_SEALED_SHARE = 4096;
/** What an entry is refused with, among others, because another server took that very entry a moment ago. */
const OVERTAKEN: ReadonlySet<string> = new Set(['stale-head', 'conflict', 'vault-exists']);

/** What an append answers; `created` is false when the entry was already in the chain. */
export interface AppendResult {
  readonly created: boolean;
  readonly seq: number;
  readonly receipt: Uint8Array;
}

/**
 * Keeps the appends of one vault in order within this process, so that they wait for each other instead of failing. Truth
 * between processes is the compare-and-swap on the vault row.
 */
export type Appends = KeyedQueue;

export const createAppends = (): Appends => new KeyedQueue();

/**
 * Appends one entry (SPEC 15): check, sign the receipt, insert in one unit of work, copy to the bucket, answer. An entry
 * that is in the chain already gets its first receipt again, so an agent may always repeat what it did not hear answered.
 *
 * @throws ServerError as the table of errors has them for a journal request
 */
export async function append(deps: VaultDeps, appends: Appends, device: Device, bytes: Buffer): Promise<AppendResult> {
  checkPartSizes(bytes);
  const request = parsing(() => parseRequest(bytes));
  checkSender(device, request);
  return await appends.run(request.entry.vaultId, async () => {
    try {
      return await appendInTurn(deps, device, request);
    } catch (error) {
      if (!(error instanceof ServerError) || !OVERTAKEN.has(error.code)) throw error;
      const taken = await receiptOfFirst(deps, device, request);
      if (taken === undefined) throw error;
      return taken;
    }
  });
}

/** A device writes in its own name, into its own vault; a pending one may only create the vault (SPEC 16). */
function checkSender(device: Device, { entry }: JournalRequest): void {
  if (device.state === 'pending' && (device.vaultId !== null || entry.kind !== 'vault-create'))
    throw new ServerError('pending');
  if (!device.rights.has('append')) throw new ServerError('forbidden');
  if (entry.deviceId !== device.deviceId) throw new ServerError('bad-entry', { detail: 'deviceId is not this device' });
  if (device.vaultId === null) {
    if (entry.kind !== 'vault-create') throw new ServerError('vault-none');
  } else if (entry.vaultId !== device.vaultId) {
    if (entry.kind === 'vault-create') throw new ServerError('vault-exists');
    throw new ServerError('bad-entry', { detail: 'vaultId is not this vault' });
  }
}

async function appendInTurn(deps: VaultDeps, device: Device, request: JournalRequest): Promise<AppendResult> {
  const { entry } = request;
  const first = await receiptOfFirst(deps, device, request);
  if (first !== undefined) return first;
  const vault = await ownVault(deps, device, entry.vaultId);
  await (needsSubscription(entry.kind) ? requireSend : requireRestore)(deps, device);
  if (vault) await requirePlace(deps, request, vault);
  const appender = { rights: device.rights, now: deps.clock() };
  await deps.db.read((manager) => checkEntry(manager, request, vault, appender));
  if (vault) await checkRate(deps, vault.vaultId);
  const bytes = await requirePacks(deps, request);
  await requireFree(deps, entry.vaultId, entry.seq);
  const receipt = signReceipt(deps, request, bytes);
  await commitEntry(deps, device, request, receipt);
  await mirrorEntry(deps, entry.vaultId, entry.seq);
  return { created: true, seq: entry.seq, receipt: receipt.encoded };
}

/** What was answered for this very entry when it was taken; undefined when it is not in the chain. */
async function receiptOfFirst(
  deps: VaultDeps,
  device: Device,
  { entry: { vaultId, seq, hash } }: JournalRequest,
): Promise<AppendResult | undefined> {
  if ((await ownVault(deps, device, vaultId)) === undefined) return undefined;
  const known = await deps.db.read((manager) => findEntry(manager, vaultId, seq));
  if (known?.entryHash !== hash) return undefined;
  await mirrorEntry(deps, vaultId, seq);
  return { created: false, seq, receipt: known.receipt };
}

/**
 * The vault under this id as it is now, undefined when there is none. Somebody else's is only ever met by who creates a
 * vault under an id that is taken.
 *
 * @throws ServerError `vault-exists`
 */
export async function ownVault(deps: VaultDeps, device: Device, vaultId: string): Promise<VaultRow | undefined> {
  const vault = await deps.db.read((manager) => findVault(manager, vaultId));
  if (vault !== null && vault.number !== device.subscriberNumber) throw new ServerError('vault-exists');
  return vault ?? undefined;
}

/** The entry extends the head, which is in the bucket afterwards. @throws ServerError `stale-head` with the head */
async function requirePlace(deps: VaultDeps, { entry }: JournalRequest, vault: VaultRow): Promise<void> {
  await mirrorEntry(deps, vault.vaultId, vault.headSeq);
  if (entry.seq === vault.headSeq + 1 && entry.previous === vault.headHash) return;
  throw new ServerError('stale-head', { head: { seq: vault.headSeq, hash: vault.headHash } });
}

async function checkRate(deps: VaultDeps, vaultId: string): Promise<void> {
  const since = deps.clock() - HOUR_MS;
  const count = await deps.db.read((manager) => countSince(manager, vaultId, since));
  if (count >= deps.limits.entriesPerHour) throw new ServerError('rate-limited', { retryAfter: 600 });
}

/** @returns the bytes of the listed packs. @throws ServerError `missing-packs` */
export async function requirePacks(deps: VaultDeps, { entry, packIds }: JournalRequest): Promise<number> {
  const { missing, bytes } = await deps.db.read((manager) => checkStored(manager, entry.vaultId, packIds));
  if (missing.length > 0) throw new ServerError('missing-packs', { missingPacks: missing });
  return bytes;
}

function signReceipt(deps: VaultDeps, { entry }: JournalRequest, bytes: number): Receipt {
  const fields = {
    keyId: asKeyId(deps.ring.receiptKeyId),
    serverId: asServerId(deps.ring.serverId),
    vaultId: entry.vaultId,
    seq: entry.seq,
    entryHash: entry.hash,
    packListHash: entry.packListHash,
    bytes,
    time: deps.clock(),
  };
  return parseReceipt(encodeReceipt(fields, (message) => deps.ring.sign('receipt', message)));
}

/**
 * Inserts a checked entry with its receipt, in one unit of work; what was checked before is checked again by the
 * compare-and-swap, the packs' states and the constraints.
 */
export async function commitEntry(
  deps: VaultDeps,
  device: Device,
  request: JournalRequest,
  receipt: Receipt,
): Promise<void> {
  const { kind } = request.entry;
  const sealedShare = await sealShare(deps, request);
  const number = device.subscriberNumber;
  const appended: Appended = { number, request, receipt, sealedShare };
  try {
    await deps.db.write(async (manager) => {
      await insertEntry(manager, appended);
      if (kind === 'vault-create') await deps.onVaultCreated(manager, number, device.deviceId);
      crashPoint('append-row');
    });
  } catch (error) {
    throw await refusalOf(deps, request, error);
  }
  crashPoint('append-committed');
}

/** The share under the key ring. A bucket that is ahead of its database has it already: then that very object. */
async function sealShare(deps: VaultDeps, { entry, attached, share }: JournalRequest): Promise<Buffer | undefined> {
  if (attached.type !== 'header') return undefined;
  const key = shareKey(entry.vaultId, attached.header.headerSeq);
  const there = await readBlob(deps.blobs, key, MAX_SEALED_SHARE);
  if (there !== undefined && Buffer.compare(deps.ring.open(key, there), share) === 0) return there;
  return deps.ring.seal(key, share);
}

/** Another process was faster: the answer is the one it would have been a moment later. */
async function refusalOf(deps: VaultDeps, request: JournalRequest, error: unknown): Promise<unknown> {
  if (!(error instanceof AppendRefused)) return error;
  if (error.reason === 'missing-packs')
    return await requirePacks(deps, request).then(
      () => new ServerError('busy', { retryAfter: 1 }, { cause: error }),
      (refusal: unknown) => refusal,
    );
  if (request.entry.kind === 'vault-create') return new ServerError('vault-exists', {}, { cause: error });
  const vault = await deps.db.read((manager) => findVault(manager, request.entry.vaultId));
  if (vault === null) return new ServerError('vault-none', {}, { cause: error });
  return new ServerError('stale-head', { head: { seq: vault.headSeq, hash: vault.headHash } }, { cause: error });
}
