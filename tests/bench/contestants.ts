import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Agent } from '../support/agent.ts';
import { sizeOf } from '../support/compare.ts';
import { repository } from '../support/process.ts';
import { SafeServer } from '../support/server.ts';
import { type Measured, measure, resetPeak, standing } from './measure.ts';

/** What one operation cost. */
export interface Cost extends Measured {
  /** The server's part, where there is one. */
  readonly server?: { readonly cpuSeconds: number; readonly peakBytes: number };
  /** Growth of what is stored, in bytes. */
  readonly stored: number;
}

/** A backup program in a fresh repository. */
export interface Contestant {
  send(): Promise<Cost>;
  /** Into the absent folder `target`; the mandate lies in `restoredAt(target)` afterwards. */
  restore(target: string): Promise<Cost>;
  restoredAt(target: string): string;
  close(): Promise<void>;
}

export type Challenge = (mandate: string, dir: string) => Promise<Contestant>;

const program = join(repository, 'packages/agent/bin/cresus-safe.mjs');
const SECRET = 'bouclement-2026 été';

/** Agent and server as two processes on loopback. `remembered`: the root key lies in a file, nothing is typed. */
export function cresusSafe({ remembered }: { remembered: boolean }): Challenge {
  return async (mandate, dir) => {
    const server = await new SafeServer(join(dir, 'server')).start();
    const { enrolmentCode } = await server.addSubscriber({ quota: '1000GB' });
    const agent = new Agent(join(dir, 'user', 'agent'), { secret: SECRET });
    await agent.connect(server.url, enrolmentCode);
    await agent.json(['secret', 'set']);
    await agent.json(['mandate', 'add', 'Mandat', '--path', mandate]);
    if (remembered) await agent.json(['secret', 'remember']);
    const env = { CRESUS_SAFE_KEYRING: 'file', HOME: dir, ...(!remembered && { CRESUS_SAFE_SECRET: SECRET }) };
    const timed = async (...args: string[]): Promise<Cost> => {
      const blobs = join(server.dataDir, 'blobs');
      const [before, storedBefore] = [standing(server.pid), sizeOf(blobs).bytes];
      resetPeak(server.pid);
      const measured = await measure([process.execPath, program, '--home', agent.home, ...args, '--json'], { env });
      const after = standing(server.pid);
      const cpuSeconds = after.cpuSeconds - before.cpuSeconds;
      const stored = sizeOf(blobs).bytes - storedBefore;
      return { ...measured, stored, server: { cpuSeconds, peakBytes: after.peakBytes } };
    };
    return {
      send: () => timed('send', 'Mandat'),
      restore: (target) => timed('restore', 'Mandat', '--snapshot', 'latest', '--to', target),
      restoredAt: (target) => target,
      close: async () => {
        await server.stop();
      },
    };
  };
}

/** restic writing to a local folder, without any server: its password costs it a key derivation at each run. */
export const restic: Challenge = async (mandate, dir) => {
  const repo = join(dir, 'repo');
  const env = { RESTIC_REPOSITORY: repo, RESTIC_PASSWORD: SECRET, RESTIC_CACHE_DIR: join(dir, 'cache'), HOME: dir };
  await measure(['restic', 'init', '-q'], { env });
  const timed = growing(repo);
  return {
    send: () => timed(['restic', 'backup', '-q', mandate], { env }),
    restore: (target) => timed(['restic', 'restore', '-q', 'latest', '--target', target], { env }),
    restoredAt: (target) => join(target, mandate),
    close: async () => undefined,
  };
};

/** borg writing to a local folder, with its defaults. */
export const borg: Challenge = async (mandate, dir) => {
  const repo = join(dir, 'repo');
  const env = { BORG_REPO: repo, BORG_PASSPHRASE: SECRET, BORG_BASE_DIR: dir, HOME: dir };
  await measure(['borg', 'init', '-e', 'repokey'], { env });
  const timed = growing(repo);
  let archive = 0;
  return {
    send: () => {
      archive += 1;
      return timed(['borg', 'create', `::a${archive}`, mandate], { env });
    },
    restore: (target) => {
      mkdirSync(target);
      return timed(['borg', 'extract', `::a${archive}`], { env, cwd: target });
    },
    restoredAt: (target) => join(target, mandate),
    close: async () => undefined,
  };
};

function growing(repo: string): (...args: Parameters<typeof measure>) => Promise<Cost> {
  return async (...args) => {
    const before = sizeOf(repo).bytes;
    const measured = await measure(...args);
    return { ...measured, stored: sizeOf(repo).bytes - before };
  };
}
