import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '../..');
/** A system Node that is too old to run the programs, where there is one (a Debian 12 with its own `nodejs`). */
const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find((node) => {
  if (!existsSync(node)) return false;
  const [, major] = /^v(\d+)/.exec(spawnSync(node, ['-v'], { encoding: 'utf8', env: {} }).stdout) ?? [];
  return Number(major) < 24;
});

describe('the launcher', () => {
  let dir: string;
  const start = (node: string, ...args: string[]) =>
    spawnSync(node, [join(dir, 'bin.mjs'), ...args], { encoding: 'utf8', env: { LANG: 'C.UTF-8' } });

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'launcher-'));
    cpSync(join(root, 'packages/launcher/launch.mjs'), join(dir, 'launch.mjs'));
    writeFileSync(
      join(dir, 'bin.mjs'),
      `import { launch } from './launch.mjs';\nlaunch('program', new URL('./dist/main.mjs', import.meta.url));\n`,
    );
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const compile = (code: string): void => {
    mkdirSync(join(dir, 'dist'));
    writeFileSync(join(dir, 'dist/main.mjs'), code);
  };

  it('says to build when nothing is compiled, in French and in English', () => {
    const { status, stderr } = start(process.execPath);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/lancez « npm run build »[\s\S]*run "npm run build"/),
    });
  });

  it('runs the program with its arguments on a recent Node', () => {
    compile('console.log(process.argv.slice(2).join()); process.exitCode = 7;');
    expect(start(process.execPath, 'a', 'b')).toMatchObject({ status: 7, stdout: 'a,b\n' });
  });

  const onOldNode = oldNode === undefined ? it.skip : it;

  onOldNode('refuses an old Node when there is no other', () => {
    compile('console.log("must not run")');
    const { status, stdout, stderr } = start(oldNode as string);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/a besoin de Node 24\.7[\s\S]*needs Node 24\.7/);
  });

  onOldNode('goes on in the Node of node_modules, and ends as the program ends', () => {
    compile(
      'if (process.argv[2] === "die") process.kill(process.pid, "SIGTERM"); else console.log(process.version, process.argv[2]); process.exitCode = 9;',
    );
    mkdirSync(join(dir, 'node_modules/.bin'), { recursive: true });
    const own = join(dir, 'node_modules/.bin/node');
    writeFileSync(own, `#!/bin/sh\nexec '${process.execPath}' "$@"\n`, { mode: 0o755 });
    expect(start(oldNode as string, 'a')).toMatchObject({ status: 9, stdout: `${process.version} a\n` });
    expect(start(oldNode as string, 'die')).toMatchObject({ status: null, signal: 'SIGTERM' });
  });

  onOldNode('does not relaunch for ever when that Node is old too', () => {
    compile('console.log("must not run")');
    mkdirSync(join(dir, 'node_modules/.bin'), { recursive: true });
    writeFileSync(join(dir, 'node_modules/.bin/node'), `#!/bin/sh\nexec '${oldNode}' "$@"\n`, { mode: 0o755 });
    expect(start(oldNode as string)).toMatchObject({ status: 1, stdout: '' });
  });
});
