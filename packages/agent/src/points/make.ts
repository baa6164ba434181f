import type { SnapshotId, SnapshotProblem } from '@cresus-safe/protocol';
import { type BackupResult, backup } from '../backup/backup.ts';
import type { BackupProgress } from '../backup/tally.ts';
import { toAgentError } from '../errors.ts';
import { changeState, type LastPoint } from '../local/state.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { joinReason, type PointReason } from './reason.ts';
import type { Points } from './store.ts';
import { sweep, tidyPoints } from './sweep.ts';

export interface MakeOptions {
  readonly reason: PointReason;
  readonly comment?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
  /** Makes a point also when nothing changed since the newest one. */
  readonly force?: boolean | undefined;
}

export interface MadePoint {
  readonly id: SnapshotId;
  /** Nothing changed: no point was made, `id` is the newest one. */
  readonly unchanged: boolean;
  readonly files: number;
  readonly bytes: number;
  /** Bytes of the mandate that were not in the store before. */
  readonly newBytes: number;
  /** Bytes of the packs written for them. */
  readonly storedBytes: number;
  readonly durationMs: number;
  readonly problems: readonly SnapshotProblem[];
}

/**
 * Makes a point of a mandate: the same backup as to the Safe, into the folder of the points.
 * @throws AgentError as `backup`, and `disk-full` when the disk or the room for points is full; no point is removed for it
 */
export async function makePoint(points: Points, mandate: Mandate, options: MakeOptions): Promise<MadePoint> {
  const made = await withRoom(points, () => run(points, mandate, options));
  await tidy(points);
  const { id, unchanged, files, bytes, newBytes, sentBytes: storedBytes, durationMs, problems } = made;
  return { id, unchanged, files, bytes, newBytes, storedBytes, durationMs, problems };
}

function run(points: Points, mandate: Mandate, options: MakeOptions): Promise<BackupResult> {
  const { vault } = points;
  const { deviceName, agentVersion } = points.options;
  const { reason, comment, signal, onProgress, force = false } = options;
  const around = { vault, mandate, deviceName, agentVersion, signal, onProgress };
  return backup({ ...around, comment: joinReason(reason, comment), onlyIfChanged: !force });
}

/** What a point that found no room had written goes at once; the points that are there stay. */
async function withRoom(points: Points, act: () => Promise<BackupResult>): Promise<BackupResult> {
  try {
    return await act();
  } catch (error) {
    if (toAgentError(error).kind === 'disk-full') await sweep(points);
    throw error;
  }
}

/** For lists that do not open the points. */
function noteLast(points: Points): void {
  const { home, now } = points.options;
  const newest = new Map<string, LastPoint>();
  for (const { mandateId, id, createdAt } of points.list().toReversed())
    newest.set(mandateId, { mandateId, id, createdAt });
  changeState(home, now(), () => ({ lastPoints: [...newest.values()] }));
}

/** The point is made: that it could not be noted, or old ones not removed, is worth a word, not a failure. */
async function tidy(points: Points): Promise<void> {
  try {
    noteLast(points);
    await tidyPoints(points);
  } catch (error) {
    points.options.warn({ code: 'points-not-tidied', params: { reason: toAgentError(error).message } });
  }
}
