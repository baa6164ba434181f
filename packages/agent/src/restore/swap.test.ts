import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { asideName, recoverSwaps, type SwapIntent, swapIn } from './swap.ts';

jest.setTimeout(60_000);

let folder: string;
let intent: SwapIntent & { aside: string };
let intents: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safe-swap-'));
  intents = join(folder, 'intents');
  const staging = join(folder, '.cresus-safe-abc', 'tree');
  intent = { staging, target: join(folder, 'Boulangerie'), aside: join(folder, 'Boulangerie (remplacé)') };
  mkdirSync(staging, { recursive: true, mode: 0o700 });
  writeFileSync(join(staging, 'compta.cre'), 'restitué');
  mkdirSync(intent.target);
  writeFileSync(join(intent.target, 'compta.cre'), 'actuel');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** How each interrupted swap ended. */
function recovered(): [string, string, boolean][] {
  const ended: [string, string, boolean][] = [];
  recoverSwaps(intents, ({ intent: { target }, outcome, isAsideThere }) => ended.push([target, outcome, isAsideThere]));
  return ended;
}

const content = (path: string): string | undefined =>
  existsSync(join(path, 'compta.cre')) ? readFileSync(join(path, 'compta.cre'), 'utf8') : undefined;

/** Swaps in a process of its own that is killed at a crash point. */
function killedAt(point: string): void {
  const script = `
    const { swapIn } = await import(${JSON.stringify(new URL('./swap.ts', import.meta.url).href)});
    swapIn(${JSON.stringify(intents)}, ${JSON.stringify(intent)});
  `;
  const args = ['--conditions=@cresus-safe/source', '--input-type=module', '--eval', script];
  const env = { ...process.env, SAFE_CRASH_AT: point, NODE_OPTIONS: '' };
  expect(() => execFileSync(process.execPath, args, { env, stdio: 'pipe' })).toThrow(
    expect.objectContaining({ signal: 'SIGKILL' }),
  );
}

test('the restored folder takes the place of the current one, which is kept', () => {
  const swapped = swapIn(intents, { ...intent, note: { mandate: 'x' } });
  expect([content(intent.target), content(intent.aside)]).toEqual(['restitué', 'actuel']);
  expect(readdirSync(intents)).toHaveLength(1);
  swapped.done();
  expect(readdirSync(intents)).toEqual([]);
});

const table: [string, string, string | undefined, 'old' | 'new' | undefined][] = [
  ['state-temp', 'actuel', undefined, undefined],
  ['swap-intent', 'actuel', undefined, 'old'],
  ['swap-out', 'restitué', 'actuel', 'new'],
  ['swap-in', 'restitué', 'actuel', 'new'],
];
test.each(table)('F-18, I4: killed at %s, the next start finds the mandate whole: %s', (point, now, aside, outcome) => {
  killedAt(point);
  expect(recovered()).toEqual(outcome === undefined ? [] : [[intent.target, outcome, aside !== undefined]]);
  expect([content(intent.target), content(intent.aside)]).toEqual([now, aside]);
  expect(readdirSync(intents).filter((name) => name.endsWith('.json'))).toEqual([]);
  expect(existsSync(join(folder, '.cresus-safe-abc'))).toBe(now === 'actuel');
  expect(recovered()).toEqual([]);
});

test('a damaged or foreign intent touches nothing', () => {
  mkdirSync(intents);
  writeFileSync(join(intents, 'a.json'), '{"staging":1}');
  writeFileSync(join(intents, 'b.json'), JSON.stringify({ ...intent, target: join(folder, 'ailleurs', 'x') }));
  rmSync(intent.staging, { recursive: true });
  expect(recovered()).toEqual([]);
  expect(content(intent.target)).toBe('actuel');
  expect(readdirSync(intents)).toEqual([]);
});

test('when the second rename fails, the current folder is put back', () => {
  rmSync(intent.staging, { recursive: true });
  expect(() => swapIn(intents, intent)).toThrow();
  expect([content(intent.target), content(intent.aside)]).toEqual(['actuel', undefined]);
  expect(readdirSync(intents)).toEqual([]);
});

test('a name for what is replaced never hits one that is there', () => {
  const at = Date.UTC(2026, 10, 24, 13, 5);
  const first = asideName(intent.target, 'remplacé', at);
  expect(first).toBe(join(folder, 'Boulangerie (remplacé 2026-11-24 14h05)'));
  mkdirSync(first);
  expect(asideName(intent.target, 'remplacé', at)).toBe(join(folder, 'Boulangerie (remplacé 2026-11-24 14h05 2)'));
});
