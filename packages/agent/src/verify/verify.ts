import { type MandateRef, type PackId, readPackHeader, type SnapshotId, snapshotIdOf } from '@cresus-safe/protocol';
import { Pool } from '../compute/pool.ts';
import { AgentError, type AgentErrorKind, EXIT_CODES, toAgentError } from '../errors.ts';
import { isDamage, type PackReader, type SnapshotInfo, type Vault } from '../vault/vault.ts';

/** As many packs are fetched and opened at the same time; the pool has as many places for them. */
const LANES = 3;

export interface VerifyOptions {
  readonly vault: Vault;
  /** Only this mandate. */
  readonly mandateRef?: MandateRef | undefined;
  /** Percent of the packs to fetch and open, 0 to 100; without it only histories, records and the list of packs are checked. */
  readonly sample?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total: number) => void;
  /** 0 to 1, to draw the sample. */
  readonly random?: () => number;
  /** What is forgotten is removed with it, and cannot be taken back: so it is with points on this computer. */
  readonly forgetsAtOnce?: boolean;
}

/** Something that the Safe should give and does not, or gives wrongly. */
export interface VerifyProblem {
  readonly code: 'history' | 'record-missing' | 'record-damaged' | 'pack-missing' | 'pack-damaged';
  readonly kind: AgentErrorKind;
  readonly message: string;
  /** The snapshots that it spoils, oldest first. */
  readonly snapshots: readonly SnapshotId[];
  readonly pack?: PackId;
}

export interface VerifyResult {
  readonly checked: { readonly packs: number; readonly bytes: number; readonly snapshots: number };
  readonly problems: readonly VerifyProblem[];
}

/** The code of the gravest problem: a history that was changed before data that is missing before data that is damaged. */
export function verifyExitCode({ problems }: VerifyResult): number {
  const [worst] = problems.map(({ kind }) => EXIT_CODES[kind]).toSorted((a, b) => b - a);
  return worst ?? 0;
}

interface NamedPack {
  readonly info: SnapshotInfo;
  readonly snapshots: SnapshotId[];
}

/**
 * Checks that the Safe still gives what it acknowledged: the verified history (done by opening the vault), the record of
 * each snapshot that should live, every pack that these name, and of a sample also their content.
 * Packs that fail are no longer deduplicated against, so that the next send stores anew what they held.
 */
export async function verifyVault(options: VerifyOptions): Promise<VerifyResult> {
  const { vault, mandateRef, sample = 0, forgetsAtOnce = false } = options;
  const problems: VerifyProblem[] = [];
  if (vault.broken !== undefined)
    problems.push({ code: 'history', kind: vault.broken.kind, message: vault.broken.message, snapshots: [] });
  const owed = vault.everySnapshot(mandateRef).filter(({ id }) => !vault.mayBeGone(id));
  const snapshots = forgetsAtOnce ? owed.filter(({ forgottenAt }) => forgottenAt === undefined) : owed;
  const packs = await checkRecords(options, snapshots, problems);
  const missing = new Set(await vault.remote.keepPacks([...packs.keys()]));
  for (const id of missing) {
    const spoilt = packs.get(id)?.snapshots ?? [];
    problems.push({
      code: 'pack-missing',
      kind: 'omission',
      message: `pack ${id} is gone`,
      snapshots: spoilt,
      pack: id,
    });
  }
  const there = [...packs.keys()].filter((id) => !missing.has(id));
  const drawn = drawSample(there, sample, options.random ?? Math.random);
  const bytes = await checkPacks(options, packs, drawn, problems);
  await giveUp(vault, packs, problems);
  return { checked: { packs: sample > 0 ? drawn.length : there.length, bytes, snapshots: snapshots.length }, problems };
}

/** Fetches every record, whatever this computer holds of it, and gathers the packs they name. */
async function checkRecords(
  { vault, signal }: VerifyOptions,
  snapshots: readonly SnapshotInfo[],
  problems: VerifyProblem[],
): Promise<Map<PackId, NamedPack>> {
  const packs = new Map<PackId, NamedPack>();
  for (const info of snapshots) {
    if (signal?.aborted) throw new AgentError('interrupted', 'interrupted');
    const problem = await checkRecord(vault, info.id);
    if (problem !== undefined) problems.push(problem);
    for (const packId of await packsOf(vault, info.id)) {
      const known = packs.get(packId);
      if (known === undefined) packs.set(packId, { info, snapshots: [info.id] });
      else known.snapshots.push(info.id);
    }
  }
  return packs;
}

async function checkRecord(vault: Vault, id: SnapshotId): Promise<VerifyProblem | undefined> {
  try {
    if (snapshotIdOf(await vault.remote.record(id)) === id) return undefined;
    return { code: 'record-damaged', kind: 'integrity', message: `record ${id} is damaged`, snapshots: [id] };
  } catch (error) {
    const { kind, message } = toAgentError(error);
    if (kind !== 'not-found') throw error;
    return { code: 'record-missing', kind: 'omission', message, snapshots: [id] };
  }
}

/** The packs of a snapshot; none when its record can be had from nowhere, which was reported. */
async function packsOf(vault: Vault, id: SnapshotId): Promise<PackId[]> {
  try {
    return (await vault.record(id)).packs.map(({ packId }) => packId);
  } catch (error) {
    const { kind } = toAgentError(error);
    if (kind === 'omission' || kind === 'integrity' || kind === 'not-found') return [];
    throw error;
  }
}

function drawSample(ids: readonly PackId[], percent: number, random: () => number): PackId[] {
  if (percent <= 0) return [];
  const count = Math.min(ids.length, Math.max(1, Math.ceil((ids.length * percent) / 100)));
  const pool = [...ids];
  for (let n = 0; n < count; n += 1) {
    const other = n + Math.floor(random() * (pool.length - n));
    [pool[n], pool[other]] = [pool[other] as PackId, pool[n] as PackId];
  }
  return pool.slice(0, count);
}

/** Fetches packs and opens every segment of them. @returns bytes fetched */
async function checkPacks(
  options: VerifyOptions,
  packs: ReadonlyMap<PackId, NamedPack>,
  drawn: readonly PackId[],
  problems: VerifyProblem[],
): Promise<number> {
  const { vault, signal, progress } = options;
  const reader = vault.reader(signal);
  let done = 0;
  for (const [mandateId, ids] of Map.groupBy(drawn, (id) => packs.get(id)?.info.mandateId)) {
    if (mandateId === undefined) continue;
    await using pool = new Pool();
    pool.useMandate(vault.mandate(mandateId));
    const queue = ids.values();
    const lane = async (): Promise<void> => {
      for (const id of queue) {
        if (signal?.aborted) throw new AgentError('interrupted', 'interrupted');
        const problem = await checkPack(vault, pool, reader, id, packs.get(id) as NamedPack);
        if (problem !== undefined) problems.push(problem);
        progress?.(++done, drawn.length);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }
  return reader.downloaded;
}

async function checkPack(
  vault: Vault,
  pool: Pool,
  reader: PackReader,
  packId: PackId,
  { info, snapshots }: NamedPack,
): Promise<VerifyProblem | undefined> {
  const keys = vault.mandate(info.mandateId);
  const slot = await pool.packs.take();
  try {
    await reader.twice(packId, async () => {
      const pack = await reader.fetch(packId, (length) => pool.arena.pack(slot).subarray(0, length));
      const packKey = keys.packKey(readPackHeader(pack).generation);
      const { length } = pack;
      // recomputing the chunk ids opens every segment
      await pool.run({ type: 'unpack', slot, length, packId, mandateRef: keys.ref, packKey, writes: [], chunks: true });
    });
    return undefined;
  } catch (error) {
    const { kind, message } = toAgentError(error);
    if (kind === 'not-found')
      return { code: 'pack-missing', kind: 'omission', message: `pack ${packId} is gone`, snapshots, pack: packId };
    if (!isDamage(error)) throw error;
    return { code: 'pack-damaged', kind: 'integrity', message, snapshots, pack: packId };
  } finally {
    pool.packs.release(slot);
  }
}

async function giveUp(
  vault: Vault,
  packs: ReadonlyMap<PackId, NamedPack>,
  problems: readonly VerifyProblem[],
): Promise<void> {
  const bad = problems.flatMap(({ pack }) => (pack === undefined ? [] : [pack]));
  for (const [mandateRef, ids] of Map.groupBy(bad, (id) => packs.get(id)?.info.mandateRef))
    if (mandateRef !== undefined) await vault.giveUpPacks(mandateRef, ids);
}
