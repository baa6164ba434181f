import { type PackId, readPackHeader, type SnapshotRecord } from '@cresus-safe/protocol';
import { Pool } from '../compute/pool.ts';
import { AgentError, toAgentError } from '../errors.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { type ClosedWarn, requireClosed } from '../open-modules/open-modules.ts';
import { type MakeOptions, makePoint } from '../points/make.ts';
import type { Points } from '../points/store.ts';
import { isDamage } from '../vault/vault.ts';
import { readSnapshotCatalog } from './catalog.ts';
import { compareTree } from './compare.ts';
import { eachAtOnce } from './lanes.ts';
import { planRestore } from './plan.ts';
import type { MadeSafety, SafetyNet } from './safety-net.ts';
import { stopWhenAborted } from './slices.ts';

export interface PointNetOptions {
  readonly points: Points;
  /** What will be replaced. */
  readonly mandate: Mandate;
  readonly warn: ClosedWarn;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: MakeOptions['onProgress'];
}

/** What stops a safety point and has its own way out: told as it is. */
const AS_IT_IS: ReadonlySet<string> = new Set(['module-open', 'mandate-unstable', 'interrupted']);
const LANES = 3;

/** A safety net of automatic points: needs neither a connection nor the secret key. */
export class PointNet implements SafetyNet {
  readonly #options: PointNetOptions;
  #made: Awaited<ReturnType<typeof makePoint>> | undefined;

  constructor(options: PointNetOptions) {
    this.#options = options;
  }

  async make(): Promise<MadeSafety> {
    const { points, mandate, signal, onProgress } = this.#options;
    await this.requireStill();
    try {
      this.#made = await makePoint(points, mandate, { reason: 'restore', force: true, signal, onProgress });
    } catch (error) {
      throw unmade(toAgentError(error), mandate);
    }
    return { id: this.#made.id, complete: this.#made.problems.length === 0 };
  }

  async requireStill(): Promise<void> {
    const { mandate, warn } = this.#options;
    // what is told and does not block was told at the first look
    await requireClosed(mandate, this.#made === undefined ? warn : () => undefined);
  }

  /** The folder is compared with the point by size and time, and every pack of the point is read and opened whole. */
  async holdsAll(folder: string): Promise<boolean> {
    const made = this.#made;
    if (made === undefined || made.problems.length > 0) return false;
    const { points, signal } = this.#options;
    const { vault } = points;
    const record = await vault.record(made.id);
    const { nodes } = await readSnapshotCatalog(vault.reader(signal), vault.mandate(record.mandateId), record, signal);
    const plan = planRestore(nodes, { key: (name) => name, windows: false });
    // links that lead out of the mandate are in the point's list, and would not come back
    if (plan.problems.length > 0) return false;
    const { changes } = await compareTree(folder, plan, { createdAt: record.createdAt, signal });
    return changes.added + changes.changed + changes.removed === 0 && (await this.#opens(record));
  }

  async #opens(record: SnapshotRecord): Promise<boolean> {
    const { points, signal } = this.#options;
    const { vault } = points;
    const keys = vault.mandate(record.mandateId);
    const reader = vault.reader(signal);
    await using pool = new Pool();
    pool.useMandate(keys);
    const openPack = async (packId: PackId): Promise<void> => {
      stopWhenAborted(signal);
      const slot = await pool.packs.take();
      try {
        const pack = await reader.fetch(packId, (length) => pool.arena.pack(slot).subarray(0, length));
        const packKey = keys.packKey(readPackHeader(pack).generation);
        const { length } = pack;
        // recomputing the chunk ids opens every segment
        await pool.run({
          type: 'unpack',
          slot,
          length,
          packId,
          mandateRef: keys.ref,
          packKey,
          writes: [],
          chunks: true,
        });
      } finally {
        pool.packs.release(slot);
      }
    };
    try {
      const ids = record.packs.map(({ packId }) => packId);
      await eachAtOnce(LANES, ids, openPack);
      return true;
    } catch (error) {
      if (isDamage(error) || toAgentError(error).kind === 'not-found') return false;
      throw error;
    }
  }
}

/** Without a safety point nothing is replaced. */
function unmade(cause: AgentError, { name, path }: Mandate): AgentError {
  if (AS_IT_IS.has(cause.kind)) return cause;
  return new AgentError(cause.kind, `no safety point: ${cause.message}`, {
    key: 'error.safety-point',
    hint: 'hint.safety-point',
    params: { name, path, reason: cause.message },
    details: { ...cause.details, mandate: name, safetyPoint: null },
    cause,
  });
}
