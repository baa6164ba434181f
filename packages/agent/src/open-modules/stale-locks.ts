import { statfsSync } from 'node:fs';
import type { LockFile } from './lock-files.ts';
import type { OpenProbe, RunningProcess } from './probe.ts';

/** Why a lock file locks nothing any more. */
export type StaleReason = 'process-gone' | 'pid-reused' | 'before-boot' | 'program-gone';

/** Times of files and of processes come from different clocks. */
const SLACK_MS = 10_000;
/** f_type of NFS, SMB, CIFS, SMB2 and FUSE (statfs(2)). */
const NETWORK = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546]);

/** What became of who wrote a lock file: it still holds, or a reason why it does not. */
export type Verdict = { readonly holder: RunningProcess } | { readonly stale: StaleReason };

/**
 * Whether a lock file still holds. Of another computer nothing can be known, so its lock holds; of this one, the process
 * must live and have begun before the lock was written, else its number was given to another.
 */
export async function judge(lock: LockFile, folder: string, probe: OpenProbe): Promise<Verdict> {
  const { owner, writtenAt } = lock;
  const isForeign = owner.host !== undefined && !sameHost(owner.host, probe.hostname);
  if (isForeign) return { holder: {} };
  const beforeBoot = writtenAt < probe.bootedAt - SLACK_MS;
  if (owner.pid !== undefined) {
    if (beforeBoot && !isNetworkDrive(folder)) return { stale: 'before-boot' };
    const holder = await probe.process(owner.pid);
    if (!holder) return { stale: 'process-gone' };
    if (holder.startedAt !== undefined && holder.startedAt > writtenAt + SLACK_MS) return { stale: 'pid-reused' };
    return { holder };
  }
  // a lock that names no computer may be another one's where several reach the folder
  if (beforeBoot && (owner.host !== undefined || !isNetworkDrive(folder))) return { stale: 'before-boot' };
  if (owner.host !== undefined && owner.program !== undefined && probe.runs(owner.program) === false)
    return { stale: 'program-gone' };
  return { holder: {} };
}

function sameHost(a: string, b: string): boolean {
  const short = (name: string): string => name.toLowerCase().split('.')[0] ?? '';
  return short(a) === short(b);
}

function isNetworkDrive(folder: string): boolean {
  try {
    return NETWORK.has(statfsSync(folder).type >>> 0);
  } catch {
    return false; // the folder is away: whoever needs it says so
  }
}
