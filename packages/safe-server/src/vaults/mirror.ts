import { createHash } from 'node:crypto';
import {
  ENTRY_KINDS,
  encodeFrame,
  MAX_REQUEST_BYTES,
  ProtocolError,
  parseFrame,
  parsePackIds,
  RECEIPT_BYTES,
  type StoredFrame,
} from '@cresus-safe/protocol/public';
import { MetaEntity } from '../accounts/entities.ts';
import { journalKey, shareKey } from '../blobs/keys.ts';
import { type BlobStore, readBlob } from '../blobs/store.ts';
import { crashPoint } from '../crash.ts';
import { ServerError } from '../errors.ts';
import { gapName } from '../jobs/rebuild-marks.ts';
import { importVault } from '../jobs/rebuild-vault.ts';
import type { VaultDeps } from './deps.ts';
import { EntryEntity, type EntryRow, HeaderEntity } from './entities.ts';
import { findEntry, findVault } from './journal-store.ts';

/** What copying to the bucket needs. */
export type MirrorDeps = Pick<VaultDeps, 'db' | 'blobs'>;

const MAX_FRAME_BYTES = MAX_REQUEST_BYTES + RECEIPT_BYTES;

/**
 * Puts a committed entry into the bucket and notes that it is there; only then is it shown. Safe to repeat after a crash
 * anywhere: the object is made from the row alone, so it is the same every time.
 *
 * @throws ServerError `read-only` when the bucket has another entry in its place
 */
export async function mirrorEntry(deps: MirrorDeps, vaultId: string, seq: number): Promise<void> {
  const row = await deps.db.read((manager) => findEntry(manager, vaultId, seq));
  if (row === null || row.mirrored) return;
  const header = await deps.db.read((manager) => manager.findOneBy(HeaderEntity, { vaultId, seq }));
  if (header !== null) await putOnce(deps, shareKey(vaultId, header.headerSeq), header.sealedShare);
  await putOnce(deps, journalKey(vaultId, seq), frameOf(row));
  crashPoint('append-mirrored');
  // the record of a snapshot now lives in the bucket alone, so the database stays small
  const keepsAttachment = row.kind !== ENTRY_KINDS['snapshot-add'].code;
  await deps.db.write((manager) =>
    manager.update(EntryEntity, { vaultId, seq }, { mirrored: true, ...(!keepsAttachment && { attachment: null }) }),
  );
}

/**
 * Refuses to append where the bucket already has an entry: then this database is behind its bucket (F-35), takes over what
 * is there, and the agent tries again on the new head.
 *
 * @throws ServerError `stale-head`, or `read-only` where the journal of the bucket breaks off
 */
export async function requireFree(deps: VaultDeps, vaultId: string, seq: number): Promise<void> {
  if (await deps.db.read((manager) => manager.existsBy(MetaEntity, { name: gapName(vaultId) }))) throw broken();
  if ((await deps.blobs.stat(journalKey(vaultId, seq))) === undefined) return;
  const current = () => deps.db.read((manager) => findVault(manager, vaultId));
  let vault = await current();
  // rows come before objects: with the row there, another server was faster, and nothing is behind
  if ((vault?.headSeq ?? 0) < seq) {
    const { gap } = await importVault(deps, vaultId, seq);
    if (gap !== undefined) throw behind();
    vault = await current();
  }
  throw new ServerError('stale-head', { head: vault && { seq: vault.headSeq, hash: vault.headHash } });
}

/**
 * The stored frame of an entry, from the bucket.
 *
 * @throws ServerError `stored-damaged` when it is not there or not what it was
 */
export async function readFrame(deps: VaultDeps, vaultId: string, seq: number): Promise<StoredFrame> {
  const bytes = await readBlob(deps.blobs, journalKey(vaultId, seq), MAX_FRAME_BYTES);
  if (bytes === undefined) throw new ServerError('stored-damaged', { detail: 'A stored entry is missing' });
  try {
    return parseFrame(bytes);
  } catch (cause) {
    if (cause instanceof ProtocolError) throw new ServerError('stored-damaged', {}, { cause });
    throw cause;
  }
}

function frameOf(row: EntryRow): Uint8Array {
  if (row.attachment === null) throw new Error('an entry keeps its attachment until it is mirrored');
  return encodeEntryFrame(row, row.attachment);
}

/** The bucket object of an entry, the same every time it is made. */
export function encodeEntryFrame({ entry, packIds, receipt }: EntryRow, attachment: Uint8Array): Uint8Array {
  return encodeFrame({ entry, packIds: parsePackIds(packIds), attachment, receipt });
}

/** Puts an object again that was found missing or rotten. Should a crash come between, the next scrub finds it missing. */
export async function putAgain(blobs: BlobStore, key: string, bytes: Uint8Array): Promise<void> {
  await blobs.delete(key);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await blobs.put(key, bytes, { length: bytes.length, sha256 });
}

async function putOnce(deps: MirrorDeps, key: string, bytes: Uint8Array): Promise<void> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if ((await deps.blobs.put(key, bytes, { length: bytes.length, sha256 })) === 'created') return;
  const there = await readBlob(deps.blobs, key, MAX_FRAME_BYTES);
  if (there === undefined || Buffer.compare(there, bytes) !== 0) throw behind();
}

function broken(): ServerError {
  return new ServerError('read-only', { detail: 'The stored journal of this vault is not whole' });
}

function behind(): ServerError {
  return new ServerError('read-only', { detail: 'The bucket is ahead of the database' });
}
