import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '../..');
const biome = createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome');

/** [the file that imports, what it imports, the lint rule that must say no (or nothing)] */
const table: [importer: string, imported: string, rule: string | undefined][] = [
  // zero knowledge: the server sees what it checks or signs, never keys or sealed formats
  ['safe-server/src/vaults/x', '@cresus-safe/protocol', 'noRestrictedImports'],
  ['safe-server/src/vaults/x', '@cresus-safe/protocol/keys', 'noRestrictedImports'],
  ['safe-server/src/vaults/x', '../../../protocol/src/index.ts', 'noRestrictedImports'],
  ['safe-server/src/vaults/x', '../../../protocol/src/keys/slot.ts', 'noRestrictedImports'],
  ['safe-server/src/vaults/x', '../../../../node_modules/@cresus-safe/protocol/dist/index.js', 'noRestrictedImports'],
  ['safe-server/src/vaults/x.test', '@cresus-safe/protocol', 'noRestrictedImports'],
  ['safe-server/src/vaults/x', '@cresus-safe/agent', 'noRestrictedImports'],
  ['safe-server/src/vaults/x', '@cresus-safe/protocol/http', undefined],
  ['safe-server/src/vaults/x', '@cresus-safe/protocol/public', undefined],
  // protocol is pure, and its public half does not know the other
  ['protocol/src/x', 'node:fs', 'noRestrictedImports'],
  ['protocol/src/x', 'node:fs/promises', 'noRestrictedImports'],
  ['protocol/src/x', 'fs', 'useNodejsImportProtocol'],
  ['protocol/src/x', 'node:http', 'noRestrictedImports'],
  ['protocol/src/x', 'node:worker_threads', 'noRestrictedImports'],
  ['protocol/src/x', 'node:perf_hooks', 'noRestrictedImports'],
  ['protocol/src/x', 'express', 'noRestrictedImports'],
  ['protocol/src/x', '@cresus-safe/agent', 'noRestrictedImports'],
  ['protocol/src/x', 'node:crypto', undefined],
  ['protocol/src/x', './http/routes.ts', undefined],
  ['protocol/src/public/x', '../keys/slot.ts', 'noRestrictedImports'],
  ['protocol/src/http/x', '../formats/pack.ts', 'noRestrictedImports'],
  ['protocol/src/http/x', '../index.ts', 'noRestrictedImports'],
  ['protocol/src/http/x', 'node:net', 'noRestrictedImports'],
  // data walks one way in the agent
  ['agent/src/x', '@cresus-safe/safe-server', 'noRestrictedImports'],
  ['agent/src/x', 'typeorm', 'noRestrictedImports'],
  ['agent/src/x', '../../../tests/support/x.ts', 'noRestrictedImports'],
  ['agent/src/backup/x', '../vault/writer.ts', 'noRestrictedImports'],
  ['agent/src/restore/x', '../vault/reader.ts', 'noRestrictedImports'],
  ['agent/src/restore/x', 'express', 'noRestrictedImports'],
  ['agent/src/backup/x', '../vault/vault.ts', undefined],
  ['agent/src/backup/x', '../compute/pool.ts', undefined],
  ['agent/src/vault/x', '../backup/backup.ts', 'noRestrictedImports'],
  ['agent/src/vault/x', '../render/text.ts', 'noRestrictedImports'],
  ['agent/src/vault/x', '../commands/send.ts', 'noRestrictedImports'],
  ['agent/src/vault/x', '@cresus-safe/protocol', undefined],
  // everywhere
  ['agent/src/x', 'left-pad', 'noUndeclaredDependencies'],
];

/** What this test reads of biome's rdjson report. */
interface Report {
  diagnostics: { code: { value: string }; location: { path: string } }[];
}

describe('the import table', () => {
  // Lint runs on a copy of the configuration: a bad file in the real tree would break whoever builds at the same time.
  const copy = mkdtempSync(join(tmpdir(), 'import-table-'));
  let report: Report;
  const fileOf = (row: number): string => `packages/${table[row]?.[0]}${row}.ts`.replace(/\.test(\d+)/, '$1.test');

  beforeAll(() => {
    const packages = readdirSync(join(root, 'packages')).map((name) => `packages/${name}/package.json`);
    for (const path of ['biome.json', '.gitignore', 'scripts/lint', 'package.json', ...packages])
      cpSync(join(root, path), join(copy, path), { recursive: true });
    table.forEach(([, imported], row) => {
      const file = join(copy, fileOf(row));
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, `import { x } from '${imported}';\n\nconsole.info(x);\n`);
    });
    const args = [biome, 'lint', '--reporter=rdjson', '--max-diagnostics=none', 'packages'];
    const { stdout } = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8' });
    report = JSON.parse(stdout) as Report;
  });
  afterAll(() => rmSync(copy, { recursive: true }));

  it.each(table.map((row, index) => [...row, index] as const))('%s importing %s: %s', (_file, _imported, rule, row) => {
    const said = report.diagnostics
      .filter(({ location }) => location.path === fileOf(row))
      .map(({ code }) => code.value.split('/').at(-1));
    if (rule === undefined) expect(said).toEqual([]);
    else expect(said).toContain(rule);
  });
});

describe('what the server can reach', () => {
  const src = join(root, 'packages/protocol/src');

  /** Every file that `entry` loads inside packages/protocol/src, directly or not, as paths relative to it. */
  function closure(entry: string): string[] {
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g))
        visit(join(dirname(file), path));
    };
    visit(join(src, entry));
    return [...seen].map((file) => relative(src, file));
  }

  it.each(['public/index.ts', 'http/index.ts'])('%s never leads to keys or sealed formats', (entry) => {
    expect(closure(entry).filter((file) => /^(keys|formats)\/|^index\.ts$/.test(file))).toEqual([]);
  });
});
