import { chainHash, ENTRY_KINDS, encodePackIds, type JournalRequest, type Receipt } from '@cresus-safe/protocol/public';
import { type EntityManager, IsNull, MoreThan } from 'typeorm';
import {
  EntryEntity,
  type EntryRow,
  HeaderEntity,
  type HeaderRow,
  MandateEntity,
  SnapshotEntity,
  type SnapshotRow,
  VaultEntity,
  type VaultRow,
} from './entities.ts';
import { usePacks } from './pack-store.ts';
import { applyReplacement } from './replacement.ts';

/** An entry on its way into the journal, everything checked, receipt and sealed share made. */
export interface Appended {
  readonly number: string;
  readonly request: JournalRequest;
  readonly receipt: Receipt;
  /** The share under the key ring; undefined unless the entry carries a header. */
  readonly sealedShare: Buffer | undefined;
}

/** Why an entry could not be inserted although it was checked: the journal or the packs moved in between. */
export type Refusal = 'stale' | 'missing-packs';

/** Thrown inside the unit of work, so that it is undone. */
export class AppendRefused extends Error {
  readonly reason: Refusal;

  constructor(reason: Refusal) {
    super(reason);
    this.name = 'AppendRefused';
    this.reason = reason;
  }
}

/** The head of a journal; the hash is that of SPEC 6, `H(entry ‖ receipt)`. */
export type Head = {
  readonly seq: number;
  readonly hash: string;
};

/** The vault and its head. */
export async function findVault(manager: EntityManager, vaultId: string): Promise<VaultRow | null> {
  return await manager.findOneBy(VaultEntity, { vaultId });
}

/** The vault of a subscriber. */
export async function findVaultOf(manager: EntityManager, number: string): Promise<VaultRow | null> {
  return await manager.findOneBy(VaultEntity, { number });
}

export async function findEntry(manager: EntityManager, vaultId: string, seq: number): Promise<EntryRow | null> {
  return await manager.findOneBy(EntryEntity, { vaultId, seq });
}

export async function findHeader(
  manager: EntityManager,
  vaultId: string,
  headerSeq: number,
): Promise<HeaderRow | null> {
  return await manager.findOneBy(HeaderEntity, { vaultId, headerSeq });
}

export async function findSnapshot(
  manager: EntityManager,
  vaultId: string,
  snapshotId: string,
): Promise<SnapshotRow | null> {
  return await manager.findOneBy(SnapshotEntity, { vaultId, snapshotId });
}

/** The attachment of the newest plan; undefined while the default plan holds. */
export async function findPlan(manager: EntityManager, vaultId: string): Promise<Buffer | undefined> {
  const row = await manager.findOne(EntryEntity, {
    where: { vaultId, kind: ENTRY_KINDS.plan.code },
    order: { seq: 'DESC' },
  });
  return row?.attachment ?? undefined;
}

/** How many entries a vault appended since `time`. */
export async function countSince(manager: EntityManager, vaultId: string, time: number): Promise<number> {
  return await manager.countBy(EntryEntity, { vaultId, receivedAt: MoreThan(time) });
}

/** The last day (yyyymmdd) on which a year-closed hold binds a live snapshot of the vault; 0 without any. */
export async function lastHold(manager: EntityManager, vaultId: string): Promise<number> {
  return (await manager.maximum(SnapshotEntity, 'holdUntil', { vaultId, forgottenSeq: IsNull() })) ?? 0;
}

/**
 * Inserts an entry with all that follows from it. The vault row is the compare-and-swap: if its head is no longer the
 * one that the entry names, nothing happens.
 *
 * @throws AppendRefused
 */
export async function insertEntry(manager: EntityManager, appended: Appended): Promise<void> {
  const { request, receipt } = appended;
  const { entry } = request;
  if (!(await moveHead(manager, appended))) throw new AppendRefused('stale');
  await manager.insert(EntryEntity, {
    vaultId: entry.vaultId,
    seq: entry.seq,
    kind: ENTRY_KINDS[entry.kind].code,
    generation: entry.generation,
    entryHash: entry.hash,
    deviceId: entry.deviceId,
    mandateRef: entry.mandateRef,
    subject: entry.subject,
    entry: Buffer.from(entry.bytes),
    packIds: Buffer.from(encodePackIds(request.packIds)),
    attachment: Buffer.from(request.attachment),
    receipt: Buffer.from(receipt.encoded),
    mirrored: false,
    receivedAt: receipt.time,
  });
  if (!(await usePacks(manager, entry.vaultId, request.packIds, entry.seq))) throw new AppendRefused('missing-packs');
  await insertHeader(manager, appended);
  await applyReplacement(manager, request, receipt.time);
  await applyToSnapshots(manager, appended);
}

/** Creates the vault, or moves its head from the entry's predecessor to the entry; false when it has another head. */
async function moveHead(manager: EntityManager, { number, request, receipt }: Appended): Promise<boolean> {
  const { entry, attached } = request;
  const headHash = chainHash(entry.bytes, receipt.encoded);
  const header = attached.type === 'header' ? attached.header : undefined;
  const { vaultId, seq, previous } = entry;
  if (entry.kind === 'vault-create') {
    if ((await findVault(manager, vaultId)) !== null || (await findVaultOf(manager, number)) !== null) return false;
    const start = {
      headSeq: 1,
      headHash,
      generation: 0,
      headerSeq: 1,
      usedBytes: 0,
      usedObjects: 0,
      createdAt: receipt.time,
    };
    await manager.insert(VaultEntity, { vaultId, number, ...start });
    return true;
  }
  const moved = await manager.update(
    VaultEntity,
    { vaultId, headSeq: seq - 1, headHash: previous },
    { headSeq: seq, headHash, ...(header && { generation: header.generation, headerSeq: header.headerSeq }) },
  );
  return moved.affected === 1;
}

async function insertHeader(manager: EntityManager, { request, sealedShare }: Appended): Promise<void> {
  const { entry, attached } = request;
  if (attached.type !== 'header') return;
  if (sealedShare === undefined) throw new Error('a header comes with its share');
  const { headerSeq, generation, bytes } = attached.header;
  const { vaultId, seq } = entry;
  await manager.insert(HeaderEntity, { vaultId, headerSeq, seq, generation, header: Buffer.from(bytes), sealedShare });
}

async function applyToSnapshots(manager: EntityManager, { request, receipt }: Appended): Promise<void> {
  const { kind, vaultId, seq, subject, mandateRef, holdUntil } = request.entry;
  const snapshot = { vaultId, snapshotId: subject };
  if (kind === 'snapshot-forget') await manager.update(SnapshotEntity, snapshot, { forgottenSeq: seq });
  if (kind === 'snapshot-unforget') await manager.update(SnapshotEntity, snapshot, { forgottenSeq: null });
  if (kind === 'year-closed') await manager.update(SnapshotEntity, snapshot, { holdUntil });
  if (kind !== 'snapshot-add') return;
  await manager.insert(SnapshotEntity, { ...snapshot, seq, mandateRef, forgottenSeq: null, holdUntil: 0 });
  const mandate = { vaultId, mandateRef, lastSnapshotAt: receipt.time };
  await manager.upsert(MandateEntity, mandate, ['vaultId', 'mandateRef']);
}
