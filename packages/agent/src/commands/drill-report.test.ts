import { expect, test } from '@jest/globals';
import type { DrillResult } from '../drill/drill.ts';
import { AgentError } from '../errors.ts';
import { homeAt } from '../local/home.ts';
import { LANGUAGES, loadTexts } from '../render/i18n.ts';
import type { Context } from './context.ts';
import { type Drilled, drillJson, drillLines } from './drill-report.ts';

const SOUND: DrillResult = {
  kind: 'snapshot',
  id: 'ab'.repeat(32),
  mandate: 'Dupont SA',
  createdAt: Date.UTC(2026, 10, 24, 8),
  files: 1200,
  bytes: 264_000_000,
  downloadedBytes: 90_000_000,
  damaged: [],
  problems: [],
  verified: 1200,
  wrong: [],
  comparedWithDisk: 1100,
  differsFromDisk: [],
  modules: [
    { file: 'dupont.cre', format: 'sqlite', ok: true },
    { file: 'dupont.fac', format: 'unknown', ok: true },
  ],
  durationMs: 61_000,
};

async function linesOf(language: (typeof LANGUAGES)[number], drilled: readonly Drilled[]): Promise<string[]> {
  const context = { home: homeAt('/nowhere'), texts: await loadTexts(language), version: '1.2.3' } as Context;
  const facts = {
    startedAt: Date.UTC(2026, 10, 24, 9),
    finishedAt: Date.UTC(2026, 10, 24, 9, 2),
    exitCode: 0,
    drilled,
  };
  expect(drillJson(context, facts)).toMatchObject({ exitCode: 0, agentVersion: '1.2.3', subscriber: null });
  return drillLines(context, facts);
}

test.each(LANGUAGES)('a report in %s tells the date, the numbers and the verdict, last', async (language) => {
  const lines = await linesOf(language, [{ mandate: 'Dupont SA', result: SOUND }]);
  const text = lines.join('\n');
  for (const words of ['24.11.2026 10:00', '24.11.2026 09:00', "1'200", "1'100", 'dupont.cre', 'SQLite', 'abababab'])
    expect(text).toContain(words);
  expect(lines.at(-1)).toMatch(/^✓ /);
  expect(text).not.toMatch(/\{\{|undefined|NaN|drill\.[a-z]|report\.[a-z]/);
});

test.each<[string, Partial<DrillResult>, string]>([
  ['a file that did not come back', { damaged: [{ path: 'a.pdf', code: 'damaged' }] }, 'a.pdf'],
  ['a file that came back wrong', { wrong: ['b.pdf'] }, 'b.pdf'],
  ['a file the disk changed', { differsFromDisk: ['c.pdf'] }, 'c.pdf'],
  ['a module that is cut', { modules: [{ file: 'd.cre', format: 'sqlite', ok: false }] }, 'd.cre'],
])('%s makes the verdict bad, in every language', async (_, defect, named) => {
  for (const language of LANGUAGES) {
    const lines = await linesOf(language, [
      { mandate: 'Dupont SA', result: { ...SOUND, ...defect } },
      { mandate: 'Rossi', result: SOUND },
    ]);
    expect(lines.join('\n')).toContain(named);
    expect(lines.at(-1)).toMatch(/^✗ /);
  }
});

test('MS-41 what was saved under a name that hides is shown for what it is', async () => {
  const lines = await linesOf('fr', [
    { mandate: 'x\u001b[2J', result: { ...SOUND, mandate: 'x\u001b[2J', differsFromDisk: ['\u202egpj.exe'] } },
  ]);
  expect(lines.join('').replace(/\P{C}/gu, '')).toBe('');
});

test('a test that could not be made is no success', async () => {
  const error = new AgentError('omission', 'gone');
  const lines = await linesOf('en', [{ mandate: 'Dupont SA', error }]);
  expect(lines.find((line) => /^✗ .*Dupont SA/.test(line))).toBeTruthy();
  expect(lines.at(-1)).toMatch(/^✗ /);
});
