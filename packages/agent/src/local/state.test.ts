import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { loadConfig, saveConfig } from './config.ts';
import { type Home, homeAt } from './home.ts';
import { forgetRoot, recallRoot, rememberRoot } from './keyring.ts';
import { changeState, loadState } from './state.ts';

let home: Home;

beforeEach(() => {
  home = homeAt(mkdtempSync(join(tmpdir(), 'safe-state-')));
  process.env['CRESUS_SAFE_KEYRING'] = 'file';
});

afterEach(() => {
  delete process.env['CRESUS_SAFE_KEYRING'];
  rmSync(home.dir, { recursive: true, force: true });
});

test('state is kept, and a damaged one is set aside, begun anew and remembered as rebuilt', () => {
  changeState(home, 1, () => ({ kept: [{ mandate: 'Dupont', path: '/old', at: 1 }] }));
  expect(loadState(home, 2).kept).toHaveLength(1);
  writeFileSync(home.state, '{"version":1,');
  expect(loadState(home, 3)).toEqual({ version: 1, twins: [], kept: [], rebuiltAt: 3 });
  expect(loadState(home, 4).rebuiltAt).toBe(3);
  expect(existsSync(`${home.state}.damaged`)).toBe(true);
});

test('a computer that is not connected says so, and a damaged configuration says where', () => {
  expect(() => loadConfig(home)).toThrow(expect.objectContaining({ kind: 'usage', key: 'error.not-connected' }));
  writeFileSync(home.config, '{"version":2}');
  expect(() => loadConfig(home)).toThrow(expect.objectContaining({ kind: 'usage', key: 'error.config-damaged' }));
});

test('a configuration comes back as it was', () => {
  const config = {
    version: 1 as const,
    server: { url: 'https://safe.example.ch', serverId: '1'.repeat(32) as never, receiptKeys: [] },
    number: '100001',
    deviceId: '2'.repeat(32) as never,
    deviceName: 'Bureau',
  };
  saveConfig(home, config);
  expect(loadConfig(home)).toEqual(config);
});

test('without a keyring the root lies in a file, is recalled and forgotten', async () => {
  const root = new Uint8Array(32).fill(7);
  expect(await rememberRoot(home, root)).toBe('file');
  expect(await recallRoot(home)).toEqual({ root: Buffer.from(root), place: 'file' });
  expect(await forgetRoot(home)).toBe(true);
  expect(await recallRoot(home)).toBeUndefined();
  expect(await forgetRoot(home)).toBe(false);
});
