/** The named places where a test may kill the agent; architecture.md says what each one means. */
export type CrashPoint =
  | 'copy-open'
  | 'copy-entry'
  | 'copy-written'
  | 'copy-verified'
  | 'copy-linked'
  | 'copy-renamed'
  | 'scan'
  | 'pack-open'
  | 'pack-sent'
  | 'pack-acked'
  | 'before-commit'
  | 'commit-sent'
  | 'commit-acked'
  | 'state-temp'
  | 'state-renamed'
  | 'restore-write'
  | 'restore-staged'
  | 'swap-intent'
  | 'swap-out'
  | 'swap-in'
  | 'swap-settled'
  | 'swap-noted'
  | 'header-before'
  | 'header-sent'
  | 'header-acked'
  | 'points-root'
  | 'point-request'
  | 'point-journal'
  | 'point-forgotten'
  | 'point-unindexed'
  | 'point-swept'
  | 'renew-written'
  | 'renew-cut'
  | 'heal-dropped'
  | 'heal-sent'
  | 'heal-committed';

const [wanted, count] = (process.env['SAFE_CRASH_AT'] ?? '').split(':');
let left = count === undefined ? 1 : Number(count);

/**
 * Dies by SIGKILL at the n-th passing of the point named in `SAFE_CRASH_AT=<point>[:n]`; without the variable it does
 * nothing. SIGKILL, because no `finally` and no exit handler may help the code under test.
 */
export function crashPoint(point: CrashPoint): void {
  if (point !== wanted) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}
