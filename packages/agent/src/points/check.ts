import type { CatalogNode, PackId, SnapshotId } from '@cresus-safe/protocol';
import { AgentError, toAgentError } from '../errors.ts';
import { readSnapshotCatalog } from '../restore/catalog.ts';
import { isDamage } from '../vault/vault.ts';
import { type VerifyProblem, type VerifyResult, verifyVault } from '../verify/verify.ts';
import type { PointInfo, Points } from './store.ts';

export interface CheckOptions {
  readonly points: Points;
  /** Only the points of this mandate. */
  readonly mandateId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total: number) => void;
}

/** A point of which not everything can be restored. */
export interface DamagedPoint {
  readonly point: PointInfo;
  /** Paths that still restore as they were; undefined when the list of files itself is damaged. */
  readonly good: readonly string[] | undefined;
  readonly bad: readonly string[] | undefined;
}

export interface CheckResult {
  readonly checked: VerifyResult['checked'];
  readonly problems: readonly VerifyProblem[];
  readonly damaged: readonly DamagedPoint[];
}

/**
 * Reads everything that the points hold: journal, records, and every pack whole, each segment of it opened. What is
 * damaged is no longer built upon, so that the next point stores it again.
 */
export async function checkPoints(options: CheckOptions): Promise<CheckResult> {
  const { points, mandateId, signal, progress } = options;
  const { vault } = points;
  const mandateRef = points.vault.snapshots().find((snapshot) => snapshot.mandateId === mandateId)?.mandateRef;
  if (mandateId !== undefined && mandateRef === undefined) return { checked: NOTHING, problems: [], damaged: [] };
  const around = { ...(signal && { signal }), ...(progress && { progress }) };
  const { checked, problems } = await verifyVault({ vault, mandateRef, sample: 100, forgetsAtOnce: true, ...around });
  const bad = new Set(problems.flatMap(({ pack }) => pack ?? []));
  const spoilt = new Set(problems.flatMap(({ snapshots }) => snapshots));
  const damaged: DamagedPoint[] = [];
  for (const point of points.list(mandateId)) {
    if (signal?.aborted) throw new AgentError('interrupted', 'interrupted');
    if (spoilt.has(point.id)) damaged.push({ point, ...(await filesOf(points, point.id, bad)) });
  }
  return { checked, problems, damaged };
}

const NOTHING = { packs: 0, bytes: 0, snapshots: 0 };

async function filesOf(
  { vault }: Points,
  id: SnapshotId,
  bad: ReadonlySet<PackId>,
): Promise<Pick<DamagedPoint, 'good' | 'bad'>> {
  try {
    const record = await vault.record(id);
    const { nodes } = await readSnapshotCatalog(vault.reader(), vault.mandate(record.mandateId), record);
    const lost = new Set(record.packs.filter(({ packId }) => bad.has(packId)).map(({ packRef }) => packRef));
    const isBad = (node: CatalogNode): boolean =>
      node.type === 'file' && node.extents.some(({ packRef }) => lost.has(packRef));
    const files = nodes.filter(({ type }) => type === 'file');
    return {
      good: files.filter((node) => !isBad(node)).map(({ path }) => path),
      bad: files.filter(isBad).map(({ path }) => path),
    };
  } catch (error) {
    const { kind } = toAgentError(error);
    if (isDamage(error) || kind === 'not-found' || kind === 'omission') return { good: undefined, bad: undefined };
    throw error;
  }
}
