import { MAX_REQUEST_BYTES, ProtocolError, parseFrame, RECEIPT_BYTES } from '@cresus-safe/protocol/public';
import { Between, type EntityManager, MoreThan } from 'typeorm';
import { journalKey, shareKey } from '../blobs/keys.ts';
import { type BlobStore, readBlob } from '../blobs/store.ts';
import { ServerError } from '../errors.ts';
import {
  EntryEntity,
  type EntryRow,
  HeaderEntity,
  LostFrameEntity,
  ScrubCursorEntity,
  VaultEntity,
  type VaultRow,
} from '../vaults/entities.ts';
import { encodeEntryFrame, putAgain } from '../vaults/mirror.ts';
import type { ScrubDeps, ScrubOptions } from './scrub.ts';

/** A snapshot whose sealed record nobody here has any more. */
export interface LostRecord {
  readonly number: string;
  readonly vaultId: string;
  readonly seq: number;
}

const AT_ONCE = 100;
const MAX_OBJECT_BYTES = MAX_REQUEST_BYTES + RECEIPT_BYTES;

interface JournalReport {
  frames: number;
  framesWritten: number;
  lostRecords: LostRecord[];
}

/**
 * Compares the next part of every vault's journal in the bucket with the database, which has all of it but the records
 * of snapshots: what is missing or rotten is written again; a record that is gone is noted.
 */
export async function scrubFrames(deps: ScrubDeps, { percent, signal }: ScrubOptions): Promise<JournalReport> {
  const report: JournalReport = { frames: 0, framesWritten: 0, lostRecords: [] };
  for (let after = ''; signal?.aborted !== true; ) {
    const vaults = await deps.db.read((manager) =>
      manager.find(VaultEntity, { where: { vaultId: MoreThan(after) }, order: { vaultId: 'ASC' }, take: AT_ONCE }),
    );
    for (const vault of vaults) await scrubVault(deps, vault, { percent, signal }, report);
    if (vaults.length < AT_ONCE) break;
    after = vaults.at(-1)?.vaultId ?? after;
  }
  return report;
}

async function scrubVault(
  deps: ScrubDeps,
  vault: VaultRow,
  { percent, signal }: { percent: number; signal: AbortSignal | undefined },
  report: JournalReport,
): Promise<void> {
  const { vaultId, headSeq } = vault;
  let left = Math.min(headSeq, Math.ceil((headSeq * percent) / 100));
  let at = (await deps.db.read((manager) => manager.findOneBy(ScrubCursorEntity, { vaultId })))?.seq ?? 0;
  while (left > 0 && signal?.aborted !== true) {
    if (at >= headSeq) at = 0;
    const last = Math.min(headSeq, at + Math.min(left, AT_ONCE));
    const rows = await deps.db.read((manager) => mirrored(manager, vaultId, at + 1, last));
    for (const row of rows) await scrubFrame(deps, vault, row, report);
    left -= last - at;
    at = last;
    await deps.db.write((manager) => manager.upsert(ScrubCursorEntity, { vaultId, seq: last }, ['vaultId']));
  }
}

async function mirrored(manager: EntityManager, vaultId: string, first: number, last: number): Promise<EntryRow[]> {
  return await manager.find(EntryEntity, {
    where: { vaultId, seq: Between(first, last), mirrored: true },
    order: { seq: 'ASC' },
  });
}

async function scrubFrame(deps: ScrubDeps, vault: VaultRow, row: EntryRow, report: JournalReport): Promise<void> {
  const { vaultId, seq } = row;
  report.frames += 1;
  const header = await deps.db.read((manager) => manager.findOneBy(HeaderEntity, { vaultId, seq }));
  if (header !== null)
    report.framesWritten += await rewrite(deps, shareKey(vaultId, header.headerSeq), header.sealedShare);
  const key = journalKey(vaultId, seq);
  if (row.attachment !== null) {
    report.framesWritten += await rewrite(deps, key, encodeEntryFrame(row, row.attachment));
    return;
  }
  const isThere = isFrameOf(row, await read(deps.blobs, key));
  const known = await deps.db.read((manager) => manager.findOneBy(LostFrameEntity, { vaultId, seq }));
  if (isThere && known !== null) await deps.db.write((manager) => manager.delete(LostFrameEntity, { vaultId, seq }));
  if (isThere) return;
  const lost = { number: vault.number, vaultId, seq };
  report.lostRecords.push(lost);
  if (known === null) await noteLost(deps, lost);
}

/** Writes an object again that is missing or not what it must be. @returns how many were written */
async function rewrite({ blobs, log }: ScrubDeps, key: string, bytes: Uint8Array): Promise<0 | 1> {
  const there = await read(blobs, key);
  if (there !== undefined && Buffer.compare(there, bytes) === 0) return 0;
  await putAgain(blobs, key, bytes);
  log.warn({ key, was: there === undefined ? 'missing' : 'rotten' }, 'an object of the journal was written again');
  return 1;
}

async function read(blobs: BlobStore, key: string): Promise<Buffer | undefined> {
  try {
    return await readBlob(blobs, key, MAX_OBJECT_BYTES);
  } catch (error) {
    if (error instanceof ServerError && error.code === 'stored-damaged') return Buffer.alloc(0);
    throw error;
  }
}

function isFrameOf(row: EntryRow, bytes: Buffer | undefined): boolean {
  if (bytes === undefined) return false;
  try {
    const frame = parseFrame(bytes);
    return (
      Buffer.compare(frame.entry.bytes, row.entry) === 0 && Buffer.compare(frame.receipt.encoded, row.receipt) === 0
    );
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

async function noteLost(deps: ScrubDeps, { number, vaultId, seq }: LostRecord): Promise<void> {
  await deps.db.write(async (manager) => {
    const row = { vaultId, seq, damagedSince: deps.clock() };
    if ((await manager.findOneBy(LostFrameEntity, { vaultId, seq })) !== null) return; // another run was faster
    await manager.insert(LostFrameEntity, row);
    await deps.audit.record(manager, { actor: 'server', number, operation: 'record-lost', facts: { seq } });
  });
  deps.log.error({ number, vaultId, seq }, 'the record of a snapshot is lost');
}
