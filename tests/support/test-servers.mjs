// The real servers of one jest run: where their folders are, and their end. A globalTeardown for both projects; each
// server is started by the first test that asks for it (`real-s3.ts`, `real-postgres.ts`).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NAME = /^cresus-safe-servers-(\d+)$/;
const scripts = fileURLToPath(new URL('../../infra/test-servers/', import.meta.url));

/** The folder of this run: jest's parent process names it in the environment that its workers inherit. */
export function serversDir() {
  process.env['SAFE_TEST_SERVERS'] ??= join(tmpdir(), `cresus-safe-servers-${process.pid}`);
  const dir = process.env['SAFE_TEST_SERVERS'];
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  return dir;
}

/** Stops the servers of a run and removes its folder. */
function stopServers(dir) {
  for (const name of readdirSync(dir)) {
    const script = name.startsWith('s3') ? 's3-down.sh' : 'pg-down.sh'; // a folder is named after what runs in it
    execFileSync(join(scripts, script), [join(dir, name), '--wipe'], { stdio: 'inherit' });
  }
  rmSync(dir, { recursive: true, force: true });
}

/** Stops what runs left behind that were killed before their teardown. */
export function stopOrphans() {
  for (const entry of readdirSync(tmpdir())) {
    const pid = Number(NAME.exec(entry)?.[1]);
    if (pid > 0 && pid !== process.pid && !isAlive(pid)) stopServers(join(tmpdir(), entry));
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** jest's globalTeardown; runs once for each project. */
// biome-ignore lint/style/noDefaultExport: that is where jest looks
export default () => {
  const dir = process.env['SAFE_TEST_SERVERS'];
  if (dir !== undefined && existsSync(dir)) stopServers(dir);
};
