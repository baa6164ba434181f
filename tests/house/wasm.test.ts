import { readFile } from 'node:fs/promises';
import { expect, test } from '@jest/globals';
import { compileCdc } from '../../scripts/build-wasm.mjs';

test('the committed WebAssembly is what its text compiles to', async () => {
  const code = await readFile(new URL('../../packages/agent/src/compute/cdc-bytes.ts', import.meta.url), 'utf8');
  const committed = Array.from(code.matchAll(/^ {2}'([A-Za-z0-9+/=]+)',$/gm), ([, line]) => line).join('');
  expect(committed.length).toBeGreaterThan(100);
  expect(Buffer.from(await compileCdc()).toString('base64')).toBe(committed);
});
