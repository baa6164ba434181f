import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { AgentError } from '../errors.ts';
import {
  diskError,
  ensureFolder,
  onDisk,
  readJson,
  setAside,
  sweepTemporary,
  writeDurable,
  writeJson,
} from './files.ts';
import { shape } from './shape.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safe-files-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const checkName = (value: unknown): string => shape(value).text('name');

test('a durable file is 0600 in a 0700 folder and leaves no temporary file', () => {
  const inner = join(folder, 'a', 'b');
  ensureFolder(inner);
  writeDurable(join(inner, 'state'), 'first');
  writeDurable(join(inner, 'state'), 'second');
  expect(readFileSync(join(inner, 'state'), 'utf8')).toBe('second');
  expect(statSync(join(inner, 'state')).mode & 0o777).toBe(0o600);
  expect(statSync(inner).mode & 0o777).toBe(0o700);
  expect(readdirSync(inner)).toEqual(['state']);
});

test.each([
  ['state-temp', 'old'],
  ['state-renamed', 'new'],
])(
  'F-08: killed at %s, the file holds the %s value whole',
  (point, left) => {
    const path = join(folder, 'state.json');
    writeJson(path, { name: 'old' });
    const program = `import { writeJson } from ${JSON.stringify(new URL('./files.ts', import.meta.url).href)};
    writeJson(${JSON.stringify(path)}, { name: 'new' }); console.log('survived');`;
    const run = spawnSync(
      process.execPath,
      ['--conditions=@cresus-safe/source', '--input-type=module', '-e', program],
      {
        env: { ...process.env, NODE_OPTIONS: '', SAFE_CRASH_AT: point },
        timeout: 60_000,
      },
    );
    expect({ signal: run.signal, out: run.stdout.toString() }).toEqual({ signal: 'SIGKILL', out: '' });
    expect(readJson(path, checkName)).toEqual({ found: true, value: left });
    sweepTemporary(folder);
    expect(readdirSync(folder)).toEqual(['state.json']);
  },
  60_000,
);

test.each([
  ['empty', ''],
  ['cut', '{"name":"x'],
  ['another shape', '{"name":7}'],
  ['a list', '[]'],
  ['no object', 'null'],
  ['a prototype', '{"__proto__":{"name":"x"}}'],
])('a file that is %s is reported as damaged, not thrown', (_, text) => {
  const path = join(folder, 'x.json');
  writeFileSync(path, text);
  expect(readJson(path, checkName)).toEqual({ found: false, damaged: expect.any(String) });
  setAside(path);
  expect(readdirSync(folder)).toEqual(['x.json.damaged']);
});

test('a file that is not there is not damaged', () => {
  expect(readJson(join(folder, 'none', 'x.json'), checkName)).toEqual({ found: false });
});

test.each([
  ['ENOSPC', 'disk-full'],
  ['EDQUOT', 'disk-full'],
  ['EROFS', 'read-only'],
  ['EACCES', 'permission'],
  ['EPERM', 'permission'],
])('F-25, F-26: %s becomes %s with the path', (code, kind) => {
  const fail = (): never => {
    throw Object.assign(new Error(code), { code });
  };
  expect(() => onDisk('/data/x', fail)).toThrow(AgentError);
  expect(diskError(Object.assign(new Error(code), { code }), '/data/x')).toMatchObject({
    kind,
    params: { path: '/data/x' },
  });
});

test('other errors keep their own shape', () => {
  const error = Object.assign(new Error('too many'), { code: 'EMFILE' });
  expect(diskError(error, '/x')).toBe(error);
});
