import { closeSync, fchmodSync, fsyncSync, futimesSync, openSync } from 'node:fs';
import type { FinishJob, JobResults } from './jobs.ts';

/**
 * Times, mode and, if asked for, fsync of each file through one handle: opened while it is still ours to read (0600), so that a file
 * of a mode that forbids reading is made durable too.
 */
export function runFinish({ files, sync }: FinishJob): JobResults['finish'] {
  for (const { path, mode, mtime } of files) {
    try {
      const file = openSync(path, 'r+');
      try {
        futimesSync(file, mtime, mtime);
        fchmodSync(file, mode);
        if (sync) fsyncSync(file);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      return { path, code: (error as NodeJS.ErrnoException).code ?? 'UNKNOWN' };
    }
  }
  return undefined;
}
