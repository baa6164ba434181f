import type { BackupProgress } from '../backup/tally.ts';
import type { Standing } from '../render/progress.ts';

/** Where a backup stands, as progress shows it. */
export function standingOf(progress: BackupProgress): Standing {
  const { phase, bytesDone, bytesTotal, filesDone, filesTotal, sentBytes, reusedBytes } = progress;
  return {
    scanning: phase === 'scan',
    bytes: bytesDone,
    totalBytes: bytesTotal,
    files: phase === 'scan' ? filesTotal : filesDone,
    sent: sentBytes,
    reused: reusedBytes,
  };
}
