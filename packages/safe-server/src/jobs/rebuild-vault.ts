import {
  asServerId,
  chainHash,
  ENTRY_KINDS,
  type Header,
  MAX_PACK_BYTES,
  MAX_REQUEST_BYTES,
  PACK_GRANULE_BYTES,
  parseFrame,
  parseHeader,
  parsePackIds,
  RECEIPT_BYTES,
  type StoredFrame,
  shareIdOf,
  verifyEntry,
  verifyReceipt,
} from '@cresus-safe/protocol/public';
import { type EntityManager, In, IsNull, Not } from 'typeorm';
import { DeviceEntity } from '../accounts/entities.ts';
import { journalKey, packKey, shareKey } from '../blobs/keys.ts';
import { readBlob } from '../blobs/store.ts';
import { crashPoint } from '../crash.ts';
import { EntryEntity, PackEntity, SnapshotEntity, VaultEntity } from '../vaults/entities.ts';
import { findEntry, findHeader, findVault, insertEntry } from '../vaults/journal-store.ts';
import type { ImportDeps } from './rebuild-accounts.ts';

const MAX_FRAME = MAX_REQUEST_BYTES + RECEIPT_BYTES;
const MAX_SEALED_SHARE = 4096;
/** Entries in one unit of work, and objects that are read at once. */
const BATCH = 64;

/** What became of one vault. */
export interface VaultImport {
  readonly vaultId: string;
  readonly entries: number;
  readonly packs: number;
  /** Packs that a snapshot lists and the bucket does not have. */
  readonly lostPacks: number;
  /** Where the journal of the bucket breaks off; undefined where it is whole. */
  readonly gap: { readonly seq: number; readonly reason: string } | undefined;
}

/** Where the import of a vault is. */
interface Place {
  readonly vaultId: string;
  readonly number: string;
  seq: number;
  hash: string;
  header: Header | undefined;
}

/** An entry that was read and checked. */
interface Checked {
  readonly frame: StoredFrame;
  readonly sealedShare: Buffer | undefined;
}

class Gap extends Error {}

/**
 * Appends to the database what the bucket has of a vault beyond the database's head, entry by entry, each as it was
 * first committed: signature of the vault, chain, receipt of this server, share. It stops where one is missing or is
 * not what it must be; what follows would hang in the air. Killed anywhere it goes on from the head that it reached.
 *
 * @param lastSeq the highest seq that a list showed; only for telling a gap from the end
 */
export async function importVault(deps: ImportDeps, vaultId: string, lastSeq: number): Promise<VaultImport> {
  const counts = { entries: 0, packs: 0, lostPacks: 0 };
  let gap: VaultImport['gap'];
  try {
    const place = await startOf(deps, vaultId);
    for (;;) {
      const frames = await readAhead(deps, vaultId, place.seq + 1);
      if (frames.length === 0) break;
      await importBatch(deps, place, frames, counts);
      crashPoint('rebuild-batch');
    }
    if (place.seq < lastSeq) gap = { seq: place.seq + 1, reason: 'missing' };
  } catch (error) {
    if (!(error instanceof Gap)) throw error;
    gap = { seq: Number(error.name), reason: error.message };
  }
  if ((await deps.db.read((manager) => findVault(manager, vaultId))) !== null) {
    counts.packs += await importLoosePacks(deps, vaultId);
    if (counts.lostPacks > 0) counts.lostPacks -= await forgetGonePacks(deps, vaultId);
  }
  return { vaultId, ...counts, gap };
}

function gapAt(seq: number, reason: string, cause?: unknown): Gap {
  return Object.assign(new Gap(reason, { cause }), { name: String(seq) });
}

async function startOf(deps: ImportDeps, vaultId: string): Promise<Place> {
  const vault = await deps.db.read((manager) => findVault(manager, vaultId));
  if (vault !== null) {
    const row = await deps.db.read((manager) => findHeader(manager, vaultId, vault.headerSeq));
    const header = row === null ? undefined : parseHeader(row.header);
    return { vaultId, number: vault.number, seq: vault.headSeq, hash: vault.headHash, header };
  }
  const number = await ownerOf(deps, vaultId);
  if (number === undefined) throw gapAt(1, 'no device of this vault is known');
  return { vaultId, number, seq: 0, hash: '0'.repeat(64), header: undefined };
}

/** Whose vault it is: the devices that wrote its first entries are somebody's. */
async function ownerOf(deps: ImportDeps, vaultId: string): Promise<string | undefined> {
  const frames = await readAhead(deps, vaultId, 1);
  for (const bytes of frames) {
    const { deviceId } = parsed(bytes, 1).entry;
    const device = await deps.db.read((manager) => manager.findOneBy(DeviceEntity, { deviceId }));
    if (device !== null) return device.number;
  }
  if (frames.length === 0) throw gapAt(1, 'missing');
  return undefined;
}

async function readAhead({ blobs }: ImportDeps, vaultId: string, from: number): Promise<Buffer[]> {
  const wanted = Array.from({ length: BATCH }, (_, index) => journalKey(vaultId, from + index));
  const read = await Promise.all(wanted.map((key) => readBlob(blobs, key, MAX_FRAME)));
  const end = read.indexOf(undefined);
  return (end < 0 ? read : read.slice(0, end)) as Buffer[];
}

async function importBatch(
  deps: ImportDeps,
  place: Place,
  frames: readonly Buffer[],
  counts: { entries: number; packs: number; lostPacks: number },
): Promise<void> {
  const checked: Checked[] = [];
  let broken: unknown;
  for (const bytes of frames) {
    try {
      checked.push(await check(deps, place, bytes));
    } catch (error) {
      if (!(error instanceof Gap)) throw error;
      broken = error; // what came before it is good
      break;
    }
  }
  const packs = await newPacks(deps, place.vaultId, checked);
  await deps.db.write(async (manager) => {
    for (const one of checked) await insertChecked(manager, place.number, one, packs.get(one) ?? []);
  });
  for (const rows of packs.values()) {
    counts.packs += rows.length;
    counts.lostPacks += rows.filter(({ lost }) => lost).length;
  }
  counts.entries += checked.length;
  if (broken !== undefined) throw broken;
}

function parsed(bytes: Buffer, seq: number): StoredFrame {
  try {
    return parseFrame(bytes);
  } catch (cause) {
    throw gapAt(seq, 'damaged', cause);
  }
}

/** Checks one stored entry against the place that it claims, and moves the place on. */
async function check({ ring, blobs }: ImportDeps, place: Place, bytes: Buffer): Promise<Checked> {
  const seq = place.seq + 1;
  const frame = parsed(bytes, seq);
  const { entry, attached, receipt } = frame;
  const carried = attached.type === 'header' ? attached.header : undefined;
  const signer = place.header ?? carried;
  if (entry.vaultId !== place.vaultId || entry.seq !== seq || entry.previous !== place.hash)
    throw gapAt(seq, 'not the next entry of this chain');
  if (signer === undefined || entry.generation !== signer.generation) throw gapAt(seq, 'not of this generation');
  try {
    verifyEntry(entry, signer.publicKey);
    verifyReceipt(receipt, ring.receiptKeys(), asServerId(ring.serverId));
  } catch (cause) {
    throw gapAt(seq, 'signature', cause);
  }
  let sealedShare: Buffer | undefined;
  if (carried !== undefined) {
    const key = shareKey(place.vaultId, carried.headerSeq);
    sealedShare = await readBlob(blobs, key, MAX_SEALED_SHARE);
    if (sealedShare === undefined) throw gapAt(seq, 'its share is missing');
    if (shareIdOf(entry.vaultId, ring.open(key, sealedShare)) !== carried.shareId) throw gapAt(seq, 'another share');
    place.header = carried;
  }
  place.seq = seq;
  place.hash = chainHash(entry.bytes, receipt.encoded);
  return { frame, sealedShare };
}

interface NewPack {
  readonly packId: string;
  readonly length: number;
  readonly lost: boolean;
}

/** The packs that each of these entries is the first to list, with their lengths. */
async function newPacks(
  deps: ImportDeps,
  vaultId: string,
  checked: readonly Checked[],
): Promise<Map<Checked, NewPack[]>> {
  const seen = new Map<string, number>();
  const result = new Map<Checked, NewPack[]>();
  for (const one of checked) {
    const ids = one.frame.packIds.filter((packId) => !seen.has(packId));
    for (let at = 0; at < one.frame.packIds.length; at += 500) {
      const packId = In(one.frame.packIds.slice(at, at + 500) as string[]);
      for (const row of await deps.db.read((manager) => manager.findBy(PackEntity, { vaultId, packId })))
        seen.set(row.packId, row.length);
    }
    const fresh = ids.filter((packId) => !seen.has(packId));
    const stats: (number | undefined)[] = [];
    for (let at = 0; at < fresh.length; at += BATCH) {
      const some = fresh.slice(at, at + BATCH).map((packId) => deps.blobs.stat(packKey(vaultId, packId)));
      stats.push(...(await Promise.all(some)).map((found) => found?.length));
    }
    const listed = one.frame.packIds.reduce((sum, packId) => sum + (seen.get(packId) ?? 0), 0);
    const there = stats.reduce<number>((sum, length) => sum + (length ?? 0), 0);
    const lost = shares(
      one.frame.receipt.bytes - listed - there,
      stats.filter((length) => length === undefined).length,
    );
    const rows = fresh.map((packId, index) => {
      const length = stats[index];
      return { packId, length: length ?? lost.pop() ?? PACK_GRANULE_BYTES, lost: length === undefined };
    });
    for (const row of rows) seen.set(row.packId, row.length);
    result.set(one, rows);
  }
  return result;
}

/** Lengths of packs of which only the sum is known, from the receipt. */
function shares(bytes: number, count: number): number[] {
  const granules = Math.max(count, Math.round(bytes / PACK_GRANULE_BYTES));
  return Array.from({ length: count }, (_, index) => {
    const part = Math.floor(granules / count) + (index < granules % count ? 1 : 0);
    return Math.min(MAX_PACK_BYTES, part * PACK_GRANULE_BYTES);
  });
}

/** One entry as its append once left it, and in the bucket. */
async function insertChecked(
  manager: EntityManager,
  number: string,
  { frame, sealedShare }: Checked,
  packs: readonly NewPack[],
): Promise<void> {
  const { entry, receipt } = frame;
  const { vaultId, seq } = entry;
  for (const { packId, length } of packs) {
    const state = { state: 'stored' as const, createdAt: receipt.time, unreferencedSince: receipt.time };
    await manager.insert(PackEntity, { vaultId, packId, length, ...state, expiresAt: null });
  }
  await addUse(manager, vaultId, packs);
  // when these entries came nothing was lost, so a lost pack counts as stored while they are put in
  const lost = [...packs.filter((pack) => pack.lost).map(({ packId }) => packId), ...(await setWhole(manager, frame))];
  await insertEntry(manager, { number, request: { ...frame, share: new Uint8Array() }, receipt, sealedShare });
  if (lost.length > 0) await manager.update(PackEntity, { vaultId, packId: In(lost) }, { damagedSince: receipt.time });
  const isRecord = ENTRY_KINDS[entry.kind].code === ENTRY_KINDS['snapshot-add'].code;
  await manager.update(EntryEntity, { vaultId, seq }, { mirrored: true, ...(isRecord && { attachment: null }) });
}

/** @returns the packs of this entry that are known to be lost, which count as stored from now on */
async function setWhole(manager: EntityManager, { entry, packIds }: StoredFrame): Promise<string[]> {
  const { vaultId } = entry;
  const lost = { vaultId, damagedSince: Not(IsNull()), replacedBy: IsNull() };
  const rows = packIds.length === 0 ? [] : await manager.findBy(PackEntity, lost);
  const listed = new Set<string>(packIds);
  const ids = rows.map(({ packId }) => packId).filter((packId) => listed.has(packId));
  if (ids.length > 0) await manager.update(PackEntity, { vaultId, packId: In(ids) }, { damagedSince: null });
  return ids;
}

async function addUse(
  manager: EntityManager,
  vaultId: string,
  packs: readonly { readonly length: number }[],
): Promise<void> {
  if (packs.length === 0) return;
  const bytes = packs.reduce((sum, { length }) => sum + length, 0);
  await manager.increment(VaultEntity, { vaultId }, 'usedBytes', bytes);
  await manager.increment(VaultEntity, { vaultId }, 'usedObjects', packs.length);
}

/** Packs that only forgotten snapshots list were let go, not lost. @returns how many */
async function forgetGonePacks({ db }: ImportDeps, vaultId: string): Promise<number> {
  const rows = await db.read((manager) =>
    manager.findBy(PackEntity, { vaultId, damagedSince: Not(IsNull()), replacedBy: IsNull() }),
  );
  const gone = new Map(rows.map((row) => [row.packId, row]));
  const living = await db.read((manager) => manager.findBy(SnapshotEntity, { vaultId, forgottenSeq: IsNull() }));
  for (const { seq } of living) {
    const entry = await db.read((manager) => findEntry(manager, vaultId, seq));
    for (const packId of entry === null ? [] : parsePackIds(entry.packIds)) gone.delete(packId);
  }
  await db.write(async (manager) => {
    for (const { packId, length } of gone.values()) {
      await manager.update(PackEntity, { vaultId, packId }, { state: 'gone', damagedSince: null });
      await manager.decrement(VaultEntity, { vaultId }, 'usedBytes', length);
      await manager.decrement(VaultEntity, { vaultId }, 'usedObjects', 1);
    }
  });
  return gone.size;
}

/** Packs that no entry lists yet: a send that was cut short may still use them, so their grace begins now. */
async function importLoosePacks({ db, blobs, clock }: ImportDeps, vaultId: string): Promise<number> {
  let count = 0;
  for await (const key of blobs.list(`v/${vaultId}/p/`)) {
    const packId = key.slice(key.lastIndexOf('/') + 1);
    const known = await db.read((manager) => manager.findOneBy(PackEntity, { vaultId, packId }));
    const found = known === null ? await blobs.stat(key) : undefined;
    if (found === undefined || found.length % PACK_GRANULE_BYTES !== 0) continue;
    const now = clock();
    const row = { vaultId, packId, length: found.length, state: 'stored' as const, expiresAt: null };
    await db.write(async (manager) => {
      await manager.insert(PackEntity, { ...row, createdAt: now, unreferencedSince: now });
      await addUse(manager, vaultId, [found]);
    });
    count += 1;
  }
  return count;
}
