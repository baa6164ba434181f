/** The named places where a test may kill the server; architecture.md says what each one means. */
export type CrashPoint =
  | 'pack-pending'
  | 'pack-temp'
  | 'pack-renamed'
  | 'pack-stored'
  | 'append-row'
  | 'append-committed'
  | 'append-mirrored'
  | 'heal-deleted'
  | 'heal-put'
  | 'rebuild-accounts'
  | 'rebuild-batch';

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
