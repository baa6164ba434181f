import { setTimeout as wait } from 'node:timers/promises';
import { type EntityManager, In, IsNull, LessThan } from 'typeorm';
import { MetaEntity } from '../accounts/entities.ts';
import { checkObject } from '../blobs/check.ts';
import { packKey } from '../blobs/keys.ts';
import type { Deps } from '../deps.ts';
import { type Damage, describeDamage, noteDamage } from '../vaults/damage.ts';
import { PackEntity, type PackRow, VaultEntity } from '../vaults/entities.ts';
import { type LostRecord, scrubFrames } from './scrub-journal.ts';

export type ScrubDeps = Pick<Deps, 'db' | 'blobs' | 'clock' | 'audit' | 'log'>;

export interface ScrubOptions {
  /** Share of the packs, and of each journal, to read: over 0, up to 100. Those not read for longest come first. */
  readonly percent: number;
  /** How fast to read; not given: as fast as the store gives. */
  readonly bytesPerSecond?: number;
  readonly signal?: AbortSignal;
}

export interface ScrubReport {
  readonly packs: number;
  readonly bytes: number;
  /** Objects of the journal that were read. */
  readonly frames: number;
  /** Objects of the journal that were missing or rotten and are written again from the database. */
  readonly framesWritten: number;
  /** Packs that were damaged and turned out whole. */
  readonly recovered: number;
  /** Packs read now that are missing or rotten, known before or not. */
  readonly damaged: readonly Damage[];
  /** Snapshots whose record was in the bucket alone and is lost. */
  readonly lostRecords: readonly LostRecord[];
}

const KEPT = ['stored', 'condemned'] as const;
const AT_ONCE = 100;
const DAY_MS = 86_400_000;
const LAST_RUN = 'scrub.last';

/**
 * Reads and hashes a part of what is stored, round-robin: what was not read for longest comes first, so that runs of
 * `percent` read everything in turn. Two runs side by side take different packs; taking a pack is a compare-and-swap of
 * its row, and only saves work.
 */
export async function scrub(deps: ScrubDeps, options: ScrubOptions): Promise<ScrubReport> {
  const journal = await scrubFrames(deps, options);
  const began = deps.clock();
  const total = await deps.db.read((manager) =>
    manager.countBy(PackEntity, { state: In([...KEPT]), replacedBy: IsNull() }),
  );
  const quota = Math.ceil((total * options.percent) / 100);
  const damaged: Damage[] = [];
  const counts = { packs: 0, bytes: 0, recovered: 0 };
  while (counts.packs < quota && options.signal?.aborted !== true) {
    const rows = await deps.db.read((manager) => nextPacks(manager, began, Math.min(AT_ONCE, quota - counts.packs)));
    if (rows.length === 0) break;
    for (const row of rows) {
      if (options.signal?.aborted) break;
      const outcome = await scrubPack(deps, row);
      if (outcome === 'taken') continue;
      counts.packs += 1;
      counts.bytes += row.length;
      if (outcome === 'recovered') counts.recovered += 1;
      else if (outcome !== 'whole' && row.firstSeq !== null) damaged.push(outcome);
      await pause(row.length, options);
    }
  }
  return { ...counts, ...journal, damaged };
}

async function nextPacks(manager: EntityManager, before: number, take: number): Promise<PackRow[]> {
  return await manager.find(PackEntity, {
    where: { state: In([...KEPT]), replacedBy: IsNull(), scrubbedAt: LessThan(before) },
    order: { scrubbedAt: 'ASC' },
    take,
  });
}

/** 'taken': another run has it. */
async function scrubPack(deps: ScrubDeps, row: PackRow): Promise<'whole' | 'recovered' | 'taken' | Damage> {
  const { vaultId, packId, length } = row;
  const { db, blobs, clock } = deps;
  const scrubbedAt = clock();
  const claimed = await db.write((manager) =>
    manager.update(PackEntity, { vaultId, packId, scrubbedAt: row.scrubbedAt }, { scrubbedAt }),
  );
  if (claimed.affected !== 1) return 'taken';
  const state = await checkObject(blobs, packKey(vaultId, packId), { length, sha256: packId });
  if (state === 'whole') return row.damagedSince === null ? 'whole' : await recover(deps, row, scrubbedAt);
  const noted = await noteDamage(deps, { vaultId, packId, scrubbedAt }, state);
  if (noted !== undefined) {
    const { number, snapshots } = noted;
    deps.log.error({ number, vaultId, packId, kind: state, snapshots }, 'a stored pack is damaged');
    return noted;
  }
  const now = await db.read((manager) => manager.findOneBy(PackEntity, { vaultId, packId }));
  if (now === null || now.damagedSince === null) return 'whole'; // healed or deleted meanwhile
  return await describeDamage(deps.db, row, state);
}

/** A disk that could not be read comes back, or an operator put the object back. Not while an upload heals it. */
async function recover(deps: ScrubDeps, row: PackRow, scrubbedAt: number): Promise<'recovered'> {
  const { vaultId, packId } = row;
  await deps.db.write(async (manager) => {
    const where = { vaultId, packId, scrubbedAt, healingUntil: IsNull(), replacedBy: IsNull() };
    const done = await manager.update(PackEntity, where, { damagedSince: null });
    if (done.affected !== 1) return;
    const { number } = await manager.findOneByOrFail(VaultEntity, { vaultId });
    const event = { actor: 'server', number, operation: 'pack-recovered', facts: { packId } };
    await deps.audit.record(manager, event);
  });
  return 'recovered';
}

async function pause(bytes: number, { bytesPerSecond, signal }: ScrubOptions): Promise<void> {
  if (bytesPerSecond === undefined) return;
  await wait((bytes / bytesPerSecond) * 1000, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}

/** The share of a daily run, such that everything is read within `days`. */
export function dailyPercent(days: number): number {
  return 100 / days;
}

/**
 * The run of `serve`: once a day over all servers. @returns undefined when it was done less than a day ago
 */
export async function scrubDaily(
  deps: ScrubDeps,
  options: { readonly days: number; readonly bytesPerSecond: number; readonly signal: AbortSignal },
): Promise<ScrubReport | undefined> {
  if (!(await deps.db.write((manager) => takeDay(manager, deps.clock())))) return undefined;
  const { bytesPerSecond, signal } = options;
  const report = await scrub(deps, { percent: dailyPercent(options.days), bytesPerSecond, signal });
  const { packs, bytes, frames, framesWritten, recovered } = report;
  const counts = { packs, bytes, frames, framesWritten, recovered };
  const lost = { damaged: report.damaged.length, lostRecords: report.lostRecords.length };
  deps.log.info({ ...counts, ...lost }, 'scrubbed');
  return report;
}

/** Two servers at once: the one that moves the mark scrubs. */
async function takeDay(manager: EntityManager, now: number): Promise<boolean> {
  const known = await manager.findOneBy(MetaEntity, { name: LAST_RUN });
  if (known === null) {
    await manager.insert(MetaEntity, { name: LAST_RUN, value: String(now) });
    return true;
  }
  if (Number(known.value) > now - DAY_MS) return false;
  const taken = await manager.update(MetaEntity, { name: LAST_RUN, value: known.value }, { value: String(now) });
  return taken.affected === 1;
}
