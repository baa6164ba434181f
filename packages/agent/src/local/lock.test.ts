import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { takeLock } from './lock.ts';

let folder: string;
let path: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safe-lock-'));
  path = join(folder, 'lock');
});

afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function otherRun(): Promise<ChildProcess> {
  const program = `import { takeLock } from ${JSON.stringify(new URL('./lock.ts', import.meta.url).href)};
    takeLock(${JSON.stringify(path)}); console.log('held'); setInterval(() => undefined, 1000);`;
  child = spawn(process.execPath, ['--conditions=@cresus-safe/source', '--input-type=module', '-e', program], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.stdout) await once(child.stdout, 'data');
  return child;
}

test('F-12: a second run is refused while the first lives, and takes over after kill -9', async () => {
  const other = await otherRun();
  expect(() => takeLock(path)).toThrow(expect.objectContaining({ kind: 'another-run', details: { pid: other.pid } }));
  const gone = once(other, 'exit');
  other.kill('SIGKILL');
  await gone;
  const lock = takeLock(path);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: process.pid });
  lock.release();
  expect(existsSync(path)).toBe(false);
}, 60_000);

test('a lock is released by leaving its block, and can be taken again', () => {
  {
    using _lock = takeLock(path);
    expect(() => takeLock(path)).toThrow(expect.objectContaining({ kind: 'another-run' }));
  }
  takeLock(path).release();
});

test.each([
  ['of another boot', { pid: process.pid, boot: 'before', start: '1' }],
  ['whose pid another program has now', { pid: process.pid, boot: 'same', start: '1' }],
  ['that is no lock at all', 'junk'],
])('a lock %s is stale', (_, holder) => {
  using own = takeLock(path);
  const { boot } = JSON.parse(readFileSync(path, 'utf8')) as { boot: string };
  own.release();
  const text =
    typeof holder === 'string'
      ? holder
      : JSON.stringify({ ...holder, boot: holder.boot === 'same' ? boot : holder.boot });
  writeFileSync(path, text);
  takeLock(path).release();
  expect(existsSync(path)).toBe(false);
});

test('releasing late does not take away the lock of the next run', () => {
  const mine = takeLock(path);
  const theirs = JSON.stringify({ pid: 1, boot: 'x', start: 'y' });
  writeFileSync(path, theirs);
  mine.release();
  expect(readFileSync(path, 'utf8')).toBe(theirs);
});
