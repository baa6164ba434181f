import { createHash } from 'node:crypto';
import { chainHash, ENTRY_KINDS, encodeHistory } from '@cresus-safe/protocol/public';
import { Between, type EntityManager } from 'typeorm';
import { packKey, shareKey } from '../blobs/keys.ts';
import type { BlobRead } from '../blobs/store.ts';
import { ServerError } from '../errors.ts';
import type { Device } from '../http/route.ts';
import { issueChallenge } from './challenge.ts';
import { noteDamage } from './damage.ts';
import { requireRestore, type VaultDeps, vaultOf } from './deps.ts';
import { EntryEntity, type EntryRow, HeaderEntity, type HeaderRow, MandateEntity, type PackRow } from './entities.ts';
import { findSnapshot, type Head } from './journal-store.ts';
import { readFrame } from './mirror.ts';
import { storedPack } from './pack-store.ts';
import { parseRange } from './range.ts';

const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const RECORD = ENTRY_KINDS['snapshot-add'].code;

/**
 * One page of the history after `after`: at most `limit` entries and 8 MiB, but always one if there is one. Entries that
 * the bucket does not have yet are not shown: what was shown is never lost.
 */
export async function historyPage(
  deps: VaultDeps,
  device: Device,
  after: number,
  limit: number,
): Promise<{ bytes: Uint8Array; head: number }> {
  const vaultId = vaultOf(device);
  await requireRestore(deps, device);
  const head = await deps.db.read((manager) => shownHead(manager, vaultId));
  const last = await deps.db.read((manager) => endOfPage(manager, vaultId, after, limit));
  const rows = last > after ? await deps.db.read((manager) => shownBetween(manager, vaultId, after + 1, last)) : [];
  const frames = rows.map(({ kind, entry, attachment, receipt }) => ({
    entry,
    attachment: kind === RECORD || attachment === null ? new Uint8Array() : attachment,
    receipt,
  }));
  return { bytes: encodeHistory(frames), head: Math.max(head?.seq ?? 0, last) };
}

/** The sealed record of a snapshot, from the bucket. @throws ServerError `not-found`, `stored-damaged` */
export async function readRecord(deps: VaultDeps, device: Device, snapshotId: string): Promise<Uint8Array> {
  const vaultId = vaultOf(device);
  await requireRestore(deps, device);
  const snapshot = await deps.db.read((manager) => findSnapshot(manager, vaultId, snapshotId));
  const entry =
    snapshot && (await deps.db.read((manager) => shownBetween(manager, vaultId, snapshot.seq, snapshot.seq)));
  if (snapshot === null || entry?.length !== 1) throw new ServerError('not-found');
  return (await readFrame(deps, vaultId, snapshot.seq)).attachment;
}

/** A pack or a range of it. @throws ServerError `not-found`, `range-not-satisfiable`, `stored-damaged` */
export async function openPack(
  deps: VaultDeps,
  device: Device,
  packId: string,
  rangeHeader: string | undefined,
): Promise<BlobRead & { readonly range: { start: number; end: number } | undefined }> {
  const vaultId = vaultOf(device);
  await requireRestore(deps, device);
  const pack = await deps.db.read((manager) => storedPack(manager, vaultId, packId));
  if (pack === null) throw new ServerError('not-found');
  const range = parseRange(rangeHeader, pack.length);
  const read = await deps.blobs.get(packKey(vaultId, packId), range);
  if (read?.length !== pack.length) throw await lost(deps, pack, read === undefined ? 'missing' : 'rotten');
  return { ...read, body: range === undefined ? verified(read.body, pack) : read.body, range };
}

/** A whole pack that is not what it must be is cut before its last piece, so that it never looks complete (F-30). */
async function* verified(body: AsyncIterable<Uint8Array>, pack: PackRow): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let left = pack.length;
  for await (const piece of body) {
    hash.update(piece);
    left -= piece.length;
    if (left <= 0 && (left < 0 || hash.digest('hex') !== pack.packId))
      throw new ServerError('stored-damaged', { detail: 'A stored pack has another hash' });
    yield piece;
  }
}

/** A read that meets a lost pack notes it, so that agents hear of it before the next scrub; a full disk keeps no read away. */
async function lost(deps: VaultDeps, pack: PackRow, kind: 'missing' | 'rotten'): Promise<ServerError> {
  const detail = kind === 'missing' ? 'A stored pack is missing' : 'A stored pack has another length';
  const refusal = new ServerError('stored-damaged', { detail });
  await noteDamage(deps, pack, kind).catch((error: unknown) => {
    if (!(error instanceof ServerError)) throw error;
  });
  return refusal;
}

/** What opens the vault (header and share), and a fresh challenge for the proof. @throws ServerError `vault-none` */
export async function showVault(
  deps: VaultDeps,
  device: Device,
): Promise<{ vaultId: string; header: Buffer; share: Buffer; challenge: Buffer; head: Head | null }> {
  const vaultId = vaultOf(device);
  await requireRestore(deps, device);
  const head = await deps.db.read((manager) => shownHead(manager, vaultId));
  const current = await deps.db.read((manager) => shownHeader(manager, vaultId, head?.seq ?? 0));
  if (current === null) throw new ServerError('vault-none');
  const share = deps.ring.open(shareKey(vaultId, current.headerSeq), current.sealedShare);
  const challenge = await challengeFor(deps, device);
  return { vaultId, header: current.header, share, challenge, head };
}

/** A full disk only means that nobody can prove anything now: header and share are what a restore needs (F-47). */
async function challengeFor({ db, clock, random }: VaultDeps, { deviceId }: Device): Promise<Buffer> {
  try {
    return await db.write((manager) => issueChallenge(manager, deviceId, { now: clock(), random }));
  } catch (error) {
    if (error instanceof ServerError && error.code === 'storage-full') return Buffer.from(random(32));
    throw error;
  }
}

/** Notes that nothing changed in these mandates: a sign of life. Mandates the vault does not know are passed over. */
export async function noteSeen(deps: VaultDeps, device: Device, mandateRefs: readonly string[]): Promise<void> {
  const vaultId = vaultOf(device);
  await requireRestore(deps, device);
  const lastSeenAt = deps.clock();
  await deps.db.write(async (manager) => {
    for (const mandateRef of new Set(mandateRefs))
      await manager.update(MandateEntity, { vaultId, mandateRef }, { lastSeenAt });
  });
}

/** The newest entry that is shown. */
export async function shownHead(manager: EntityManager, vaultId: string): Promise<Head | null> {
  const row = await manager.findOne(EntryEntity, {
    select: { vaultId: true, seq: true, entry: true, receipt: true },
    where: { vaultId, mirrored: true },
    order: { seq: 'DESC' },
  });
  return row && { seq: row.seq, hash: chainHash(row.entry, row.receipt) };
}

async function shownHeader(manager: EntityManager, vaultId: string, seq: number): Promise<HeaderRow | null> {
  return await manager.findOne(HeaderEntity, {
    where: { vaultId, seq: Between(1, seq) },
    order: { headerSeq: 'DESC' },
  });
}

async function shownBetween(manager: EntityManager, vaultId: string, first: number, last: number): Promise<EntryRow[]> {
  return await manager.find(EntryEntity, {
    select: { vaultId: true, seq: true, kind: true, entry: true, attachment: true, receipt: true },
    where: { vaultId, seq: Between(first, last), mirrored: true },
    order: { seq: 'ASC' },
  });
}

/** The last seq that fits into a page; only lengths are read for that. */
async function endOfPage(manager: EntityManager, vaultId: string, after: number, limit: number): Promise<number> {
  const rows = await manager
    .createQueryBuilder(EntryEntity, 'e')
    .select('e.seq', 'seq')
    .addSelect('length(e.entry) + length(e.receipt) + COALESCE(length(e.attachment), 0) + 12', 'bytes')
    .where('e.vault_id = :vaultId AND e.seq > :after AND e.mirrored = :mirrored', { vaultId, after, mirrored: true })
    .orderBy('e.seq', 'ASC')
    .limit(limit)
    .getRawMany<{ seq: number; bytes: number }>();
  let bytes = 0;
  let last = after;
  for (const row of rows) {
    bytes += Number(row.bytes);
    if (bytes > MAX_PAGE_BYTES && last > after) break;
    last = Number(row.seq);
  }
  return last;
}
