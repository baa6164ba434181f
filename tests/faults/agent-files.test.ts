import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Sent } from '../support/agent.ts';
import { MANDATE, Patient } from '../support/patient.ts';

const preload = (name: string): string =>
  `--import=${pathToFileURL(join(import.meta.dirname, '../support', name)).href}`;

let patient: Patient;

beforeAll(async () => {
  patient = await Patient.create();
  await patient.converges();
});
afterAll(() => patient[Symbol.asyncDispose]());

const packs = (): string[] => {
  const vaults = join(patient.world.server.dataDir, 'blobs/v');
  return readdirSync(join(vaults, readdirSync(vaults)[0] ?? '', 'p'));
};

describe('F-27 files that do not hold still while the real agent reads them', () => {
  it('F-27 documents that grow, shrink, vanish and turn into folders or links: exit 0 or 3, never a mix under a wrong hash', async () => {
    const folder = join(patient.books, 'wild');
    mkdirSync(folder);
    const path = (n: number): string => join(folder, `f${n}`);
    let round = 0;
    const stir = (): void => {
      round += 1;
      const n = round % 12;
      rmSync(path(n), { recursive: true, force: true });
      if (round % 5 === 0) mkdirSync(path(n));
      else if (round % 7 === 0) symlinkSync('../rien', path(n));
      else if (round % 3 !== 0) writeFileSync(path(n), Buffer.alloc(1 + ((round * 7919) % 90_000), round));
    };
    for (let n = 0; n < 24; n++) stir();
    const timer = setInterval(stir, 3);
    const finished = await patient.agent.run(['send', MANDATE, '--json']).finally(() => clearInterval(timer));
    expect([0, 3]).toContain(finished.code);
    const [snapshot] = (JSON.parse(finished.stdout) as Sent).snapshots;
    expect(snapshot?.problems.length === 0).toBe(finished.code === 0);
    const target = patient.world.path('wild-restored');
    const restored = await patient.agent.run(['restore', MANDATE, '--snapshot', 'latest', '--to', target, '--json']);
    expect([0, 3]).toContain(restored.code); // 10 would be a wrong hash
    for (const file of readdirSync(join(target, 'wild'), { withFileTypes: true })) {
      if (!file.isFile()) continue;
      const content = readFileSync(join(target, 'wild', file.name));
      expect(new Set(content).size).toBeLessThanOrEqual(1); // each was written with one byte: two would be a mix
    }
    rmSync(folder, { recursive: true });
    patient.acknowledged.push({ id: snapshot?.id ?? '', copy: target });
    await patient.converges();
    await patient.holds();
  });

  it('F-27 books that never hold still: refused with exit 7, nothing is made', async () => {
    const book = join(patient.books, 'livre.cre');
    const quiet = readFileSync(book);
    let n = 0;
    const timer = setInterval(() => {
      writeFileSync(`${book}.new`, Buffer.concat([quiet, Buffer.alloc(++n)]));
      renameSync(`${book}.new`, book);
    }, 5);
    const refusal = await patient.agent.refused(['send', MANDATE]).finally(() => clearInterval(timer));
    expect(refusal).toMatchObject({ exitCode: 7, error: { code: 'mandate-unstable' } });
    rmSync(`${book}.new`, { force: true });
    await patient.converges();
    await patient.holds();
  });
});

describe('F-44 faulty memory', () => {
  it.each(['hash', 'compress', 'encrypt', 'pack'])(
    'F-44 a bit that flips after %s: found before anything is sent',
    async (step) => {
      patient.work();
      writeFileSync(join(patient.books, 'texte.txt'), `${step} `.repeat(20_000)); // compresses
      const before = packs();
      const faulty = patient.agent.with({ env: { NODE_OPTIONS: preload('flip.mjs'), TEST_FLIP: step } });
      const refusal = await faulty.refused(['send', MANDATE]);
      expect(refusal).toMatchObject({ exitCode: 10, error: { code: 'integrity' } });
      expect(packs()).toEqual(before);
      await patient.converges();
      await patient.holds('all');
    },
  );
});

describe('F-45 something goes wrong where nobody waits for it', () => {
  it.each(['rejection', 'exception'])(
    'F-45 %s: the run fails and never says that it is done, the next one is right',
    async (kind) => {
      patient.work();
      const env = {
        NODE_OPTIONS: preload('reject.mjs'),
        TEST_REJECT: kind,
        TEST_REJECT_WHEN: join(patient.agent.home, 'lock'),
      };
      const finished = await patient.agent.run(['send', MANDATE, '--json'], { env });
      expect(finished.code).toBe(1);
      expect(finished.stdout).not.toContain('"snapshots"');
      expect(finished.stderr).toContain('injected');
      await patient.converges();
      await patient.holds();
    },
  );
});
