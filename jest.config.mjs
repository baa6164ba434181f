import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

if (Number.parseInt(process.versions.node, 10) < 26)
  throw new Error(
    `jest runs on Node ${process.versions.node}: start it with npx or npm, which use node_modules/.bin/node`,
  );

process.env.SAFE_TEST_SERVERS ??= join(tmpdir(), `cresus-safe-servers-${process.pid}`); // inherited by the workers

const common = {
  testEnvironment: 'node',
  // workspace packages resolve to their TypeScript source, so unit tests need no build
  testEnvironmentOptions: { customExportConditions: ['@cresus-safe/source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  modulePathIgnorePatterns: ['<rootDir>/packages/agent/dist/bundle/'], // has a package.json of the agent's name
  transform: { '\\.ts$': '<rootDir>/jest.strip-types.mjs' },
  globalTeardown: '<rootDir>/tests/support/test-servers.mjs', // stops the real servers that tests asked for
};

/** The server's own suites once more, on PostgreSQL; left out where it is missing, which on CI is a failure. */
function onPostgres() {
  const isThere = existsSync('/usr/lib/postgresql') || process.env.DATABASE_URL !== undefined;
  if (!isThere && process.env.CI === 'true') throw new Error('PostgreSQL is missing: its suites cannot run');
  if (!isThere) console.warn('SKIPPED: PostgreSQL is not installed, so the suites of the server run on SQLite only');
  if (!isThere) return [];
  return [
    {
      ...common,
      displayName: 'postgres',
      testMatch: ['<rootDir>/packages/safe-server/src/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '/src/blobs/'],
      setupFiles: ['<rootDir>/tests/support/on-postgres.ts'],
    },
  ];
}

/** @type {import('jest').Config} */
export default {
  maxWorkers: 2,
  testTimeout: 240_000, // jest reads it here only, never in a project
  reporters: ['default', '<rootDir>/scripts/summary-reporter.mjs'],
  projects: [
    {
      ...common,
      displayName: 'unit',
      testMatch: ['<rootDir>/packages/*/src/**/*.test.ts'],
      setupFiles: ['<rootDir>/tests/support/with-s3.ts'],
    },
    ...onPostgres(),
    {
      ...common,
      displayName: 'e2e',
      testMatch: ['<rootDir>/tests/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '<rootDir>/tests/bench/'],
      globalSetup: '<rootDir>/jest.build.mjs',
    },
  ],
  coverageProvider: 'v8',
  collectCoverageFrom: ['packages/*/src/**/*.ts', '!**/*.test.ts'],
  coverageDirectory: '.cache/coverage',
};
