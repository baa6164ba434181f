import { MAX_DAMAGED_PAGE } from '@cresus-safe/protocol/http';
import { parsePackIds } from '@cresus-safe/protocol/public';
import { type EntityManager, In, IsNull, MoreThan, Not } from 'typeorm';
import type { Audit } from '../audit/audit.ts';
import type { Db } from '../db/unit-of-work.ts';
import {
  EntryEntity,
  type EntryRow,
  LostFrameEntity,
  PackEntity,
  type PackRow,
  SnapshotEntity,
  VaultEntity,
} from './entities.ts';

/** What noting a damage needs. */
export interface DamageDeps {
  readonly db: Db;
  readonly clock: () => number;
  readonly audit?: Pick<Audit, 'record'> | undefined;
}

/** A pack that can no longer be given as it was taken in. */
export interface Damage {
  readonly number: string;
  readonly vaultId: string;
  readonly packId: string;
  readonly kind: 'missing' | 'rotten';
  /** seq of the live snapshots that name it. */
  readonly snapshots: readonly number[];
}

const KEPT = ['stored', 'condemned'] as const;
/** Entries whose pack lists are in memory at a time. */
const ENTRIES_AT_ONCE = 50;
const ID_BYTES = 32;

/**
 * Notes that the object of a pack is missing or rotten, with an audit row. From then on no entry may name it, and
 * agents are told of it.
 *
 * @param row as it was before the object was read: if anybody checked or healed the pack since, nothing is noted
 * @returns undefined when it was noted before, or is no longer so
 */
export async function noteDamage(
  deps: DamageDeps,
  row: Pick<PackRow, 'vaultId' | 'packId' | 'scrubbedAt'>,
  kind: Damage['kind'],
): Promise<Damage | undefined> {
  const { vaultId, packId, scrubbedAt } = row;
  const damage = await describeDamage(deps.db, row, kind); // lists of packs are long: not in the unit of work
  return await deps.db.write(async (manager) => {
    const where = { vaultId, packId, scrubbedAt, damagedSince: IsNull(), state: In([...KEPT]) };
    const noted = await manager.update(PackEntity, where, { damagedSince: deps.clock() });
    if (noted.affected !== 1) return undefined;
    const { number, snapshots } = damage;
    const event = { actor: 'server', number, operation: 'pack-damaged', outcome: kind, facts: { packId, snapshots } };
    await deps.audit?.record(manager, event);
    return damage;
  });
}

/** A damaged pack with the subscriber and the snapshots that it concerns. */
export async function describeDamage(
  db: Db,
  { vaultId, packId }: Pick<PackRow, 'vaultId' | 'packId'>,
  kind: Damage['kind'],
): Promise<Damage> {
  return await db.read(async (manager) => {
    const { number } = await manager.findOneByOrFail(VaultEntity, { vaultId });
    return { number, vaultId, packId, kind, snapshots: await snapshotsOf(manager, vaultId, packId) };
  });
}

/** seq of the snapshots, not forgotten, whose entries list a pack. */
async function snapshotsOf(manager: EntityManager, vaultId: string, packId: string): Promise<number[]> {
  const id = Buffer.from(packId, 'hex');
  const found: number[] = [];
  for await (const { seq, packIds } of liveLists(manager, vaultId)) if (lists(packIds, id)) found.push(seq);
  return found;
}

/** The entries of the snapshots that are not forgotten, with their lists of packs, oldest first. */
async function* liveLists(manager: EntityManager, vaultId: string): AsyncGenerator<Pick<EntryRow, 'seq' | 'packIds'>> {
  const live = await manager.find(SnapshotEntity, {
    select: { vaultId: true, snapshotId: true, seq: true },
    where: { vaultId, forgottenSeq: IsNull() },
    order: { seq: 'ASC' },
  });
  for (let at = 0; at < live.length; at += ENTRIES_AT_ONCE)
    yield* await manager.find(EntryEntity, {
      select: { vaultId: true, seq: true, packIds: true },
      where: { vaultId, seq: In(live.slice(at, at + ENTRIES_AT_ONCE).map(({ seq }) => seq)) },
      order: { seq: 'ASC' },
    });
}

function lists(packIds: Buffer, id: Buffer): boolean {
  for (let at = packIds.indexOf(id); at >= 0; at = packIds.indexOf(id, at + 1)) if (at % ID_BYTES === 0) return true;
  return false;
}

/** What no entry ever named is missed by nobody: it is refused in commits, and told to no agent. */
const DAMAGED = {
  damagedSince: Not(IsNull()),
  replacedBy: IsNull(),
  firstSeq: Not(IsNull()),
  state: In([...KEPT]),
};

/** How many packs of a vault are damaged and not yet sealed anew. */
export async function countDamaged(manager: EntityManager, vaultId: string): Promise<number> {
  return await manager.countBy(PackEntity, { vaultId, ...DAMAGED });
}

/** How many snapshots, not forgotten, name a damaged pack or lost their record. */
export async function countDamagedSnapshots(
  manager: EntityManager,
  vaultId: string,
  packsDamaged: boolean,
): Promise<number> {
  const lost = await manager.find(LostFrameEntity, { where: { vaultId } });
  if (lost.length === 0 && !packsDamaged) return 0;
  const seqs = new Set(lost.map(({ seq }) => seq));
  const rows = await manager.find(PackEntity, {
    select: { vaultId: true, packId: true },
    where: { vaultId, ...DAMAGED },
  });
  const ids = new Set(rows.map(({ packId }) => packId));
  let count = 0;
  for await (const { seq, packIds } of liveLists(manager, vaultId))
    if (seqs.has(seq) || parsePackIds(packIds).some((packId) => ids.has(packId))) count += 1;
  return count;
}

/** seq of the first snapshots whose record is lost. */
export async function lostRecords(manager: EntityManager, vaultId: string): Promise<number[]> {
  const rows = await manager.find(LostFrameEntity, {
    where: { vaultId },
    order: { seq: 'ASC' },
    take: MAX_DAMAGED_PAGE,
  });
  return rows.map(({ seq }) => seq);
}

/** One page of the damaged packs of a vault, ascending by id. */
export async function damagedPage(
  manager: EntityManager,
  vaultId: string,
  after: string,
): Promise<{ packId: string; damagedSince: number }[]> {
  const rows = await manager.find(PackEntity, {
    where: { vaultId, packId: MoreThan(after), ...DAMAGED },
    order: { packId: 'ASC' },
    take: MAX_DAMAGED_PAGE,
  });
  return rows.map(({ packId, damagedSince }) => ({ packId, damagedSince: damagedSince as number }));
}

/**
 * Takes the leave to put a damaged object away. One at a time, and for a short time only: an object is removed while its
 * row says that it is damaged, so that a crash anywhere leaves a row that is true.
 *
 * @param until also the token of the leave
 */
export async function claimHealing(
  manager: EntityManager,
  { vaultId, packId }: Pick<PackRow, 'vaultId' | 'packId'>,
  { now, until }: { now: number; until: number },
): Promise<boolean> {
  const claimed = await manager
    .createQueryBuilder()
    .update(PackEntity)
    .set({ healingUntil: until })
    .where({ vaultId, packId, damagedSince: Not(IsNull()) })
    .andWhere('(healing_until IS NULL OR healing_until < :now)', { now })
    .execute();
  return claimed.affected === 1;
}

/** Ends a leave: `healed` says that the object is whole again. A leave that somebody else has taken since ends nothing. */
export async function endHealing(
  manager: EntityManager,
  { vaultId, packId }: Pick<PackRow, 'vaultId' | 'packId'>,
  { until, now, healed }: { until: number; now: number; healed: boolean },
): Promise<void> {
  const where = { vaultId, packId, healingUntil: until };
  const more = healed ? { damagedSince: null, scrubbedAt: now } : {};
  await manager.update(PackEntity, where, { healingUntil: null, ...more });
}
