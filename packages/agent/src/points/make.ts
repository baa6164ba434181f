import type { SnapshotId, SnapshotProblem } from '@cresus-safe/protocol';
import { backup } from '../backup/backup.ts';
import type { BackupProgress } from '../backup/tally.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { joinReason, type PointReason } from './reason.ts';
import type { Points } from './store.ts';

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
  const { vault } = points;
  const { deviceName, agentVersion } = points.options;
  const { reason, comment, signal, onProgress, force = false } = options;
  const text = joinReason(reason, comment);
  const made = await backup({
    ...{ vault, mandate, deviceName, agentVersion, signal, onProgress },
    comment: text,
    onlyIfChanged: !force,
  });
  const { id, unchanged, files, bytes, newBytes, sentBytes: storedBytes, durationMs, problems } = made;
  return { id, unchanged, files, bytes, newBytes, storedBytes, durationMs, problems };
}
