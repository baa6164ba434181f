import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { differences } from '../support/compare.ts';
import {
  type FileFault,
  faultEnv,
  faultsMet,
  lacksFaults,
  lacksSmallDisk,
  SmallDisk,
  testWith,
} from '../support/faults.ts';
import { MANDATE, Patient } from '../support/patient.ts';

let patient: Patient;
let serverFault: string;

const lacks = lacksFaults();

beforeAll(async () => {
  const dir = join(process.cwd(), '.cache', `disk-${process.pid}`);
  rmSync(dir, { recursive: true, force: true });
  serverFault = `${dir}-server-full`;
  // the server's database cannot be written while the switch file is there
  const env: Record<string, string> = {};
  patient = await Patient.create({ env });
  Object.assign(
    env,
    faultEnv({
      below: join(patient.world.server.dataDir, 'safe.sqlite'),
      calls: ['write', 'sync'],
      switch: serverFault,
    }),
  );
  patient.work();
  await patient.converges();
});
afterAll(async () => {
  rmSync(serverFault, { force: true });
  await patient[Symbol.asyncDispose]();
});

let logs = 0;
/** Runs a command of the agent with a fault in it; tells how it ended and which calls failed. */
async function withFault(fault: FileFault, args: readonly string[]) {
  logs += 1;
  const log = patient.world.path(`faults-${logs}`);
  const finished = await patient.agent.run([...args, '--json'], { env: faultEnv({ ...fault, log }) });
  if (finished.stdout === '') throw new Error(`no document: ${JSON.stringify({ ...finished, fault })}`);
  const { error } = JSON.parse(finished.stdout) as { error?: { code: string; hint?: string; message: string } };
  return { code: finished.code, error, met: faultsMet(log) };
}

describe('F-25 a full disk', () => {
  testWith(lacks)(
    'F-25 of the home folder: exit 15 with a way out, nothing corrupted, goes on with room again',
    async () => {
      patient.work();
      const full = await withFault({ below: patient.agent.home, calls: ['write'] }, ['send', MANDATE]);
      expect(full.met.length).toBeGreaterThan(0);
      expect(full).toMatchObject({ code: 15, error: { code: 'disk-full', hint: expect.any(String) } });
      await patient.holds();
      await patient.converges();
    },
  );

  testWith(lacks)(
    'F-25 of the restore target: exit 15, no half folder, no staging, goes on with room again',
    async () => {
      const target = patient.world.path('plein', 'ici');
      const args = ['restore', MANDATE, '--snapshot', 'latest', '--to', target];
      const full = await withFault({ below: patient.world.path('plein'), calls: ['write'] }, args);
      expect(full.met.length).toBeGreaterThan(0);
      expect(full).toMatchObject({ code: 15, error: { code: 'disk-full' } });
      expect(readdirSync(patient.world.path('plein'))).toEqual([]);
      await patient.agent.json(args);
      expect(differences(patient.acknowledged.at(-1)?.copy ?? '', target)).toEqual([]);
    },
  );

  testWith(lacksSmallDisk())(
    'F-25 of the restore target, known beforehand: exit 15 before anything is written',
    async () => {
      const root = join(process.cwd(), '.cache', `target-${process.pid}`);
      await using disk = await SmallDisk.over(root, '8m');
      const target = join(disk.dir, 'ici');
      const args = ['restore', MANDATE, '--snapshot', 'latest', '--to', target];
      const seeing = patient.agent.with({ wrap: disk.wrap });
      expect(await seeing.refused(args)).toMatchObject({ exitCode: 15, error: { code: 'disk-full' } });
      expect(readdirSync(disk.outside)).toEqual([]);
      disk.setReadOnly(true);
      expect(await seeing.refused(args)).toMatchObject({ exitCode: 15, error: { code: 'read-only' } });
      disk.setReadOnly(false);
      disk.resize('64m');
      await seeing.json(args);
      expect(differences(patient.acknowledged.at(-1)?.copy ?? '', join(disk.outside, 'ici'))).toEqual([]);
    },
  );

  testWith(lacks)(
    'F-25 of the server’s database: the agent is told, nothing is half there, goes on with room again',
    async () => {
      const { server } = patient.world;
      await server.stop();
      await server.start(); // now with the fault built in
      patient.work();
      writeFileSync(serverFault, '');
      const refusal = await patient.agent.refused(['send', MANDATE]);
      expect(refusal.exitCode).toBe(9);
      rmSync(serverFault);
      await patient.converges();
      await patient.holds('all');
    },
  );
});

describe('F-26 a failing disk', () => {
  const ERRORS = ['EIO', 'EROFS', 'EACCES', 'EMFILE', 'ENOSPC'] as const;
  const CALLS = ['open', 'read', 'write', 'sync', 'rename', 'mkdir', 'unlink'] as const;
  /** Every early call, then ever wider steps: a process for each call there is would take an hour. */
  const PASSINGS = [1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 40, 60, 90, 130];

  testWith(lacks)(
    'F-26 under the agent’s home while it sends, at the n-th call: an error that is typed or no harm at all',
    async () => {
      let met = 0;
      for (const [index, at] of PASSINGS.entries()) {
        patient.work();
        const error = ERRORS[index % ERRORS.length] ?? 'EIO';
        const outcome = await withFault({ below: patient.agent.home, calls: CALLS, error, at }, ['send', MANDATE]);
        met += outcome.met.length;
        if (outcome.error === undefined) expect(outcome.code).toBe(0);
        else
          expect([at, error, outcome.code, outcome.error.message.length > 0]).toEqual([at, error, outcome.code, true]);
        expect(outcome.code === 0).toBe(outcome.error === undefined);
        await patient.converges();
        await patient.holds();
        if (outcome.met.length === 0) break; // there is no n-th call
      }
      expect(met).toBeGreaterThan(5);
    },
  );

  testWith(lacks)(
    'F-26 under the mandate while it is read: the file is a problem (exit 3) or books are refused (exit 7), never a wrong content',
    async () => {
      for (const [at, error] of [
        [1, 'EIO'],
        [2, 'EACCES'],
        [3, 'EMFILE'],
        [4, 'EIO'],
      ] as const) {
        patient.work();
        const outcome = await withFault({ below: patient.books, calls: ['open', 'read'], error, at }, [
          'send',
          MANDATE,
        ]);
        // what did not change is not read: only the first calls are sure to come
        if (at <= 3) expect(outcome.met.length).toBeGreaterThan(0);
        expect([0, 1, 3, 7, 15]).toContain(outcome.code);
        if (outcome.code === 0) continue; // tried again, and read
        const seen = await patient.snapshots();
        const partial = seen.filter((id) => !patient.acknowledged.some((known) => known.id === id));
        expect(partial).toHaveLength(outcome.code === 3 ? 1 : 0);
        // a snapshot with a problem holds all the rest; it is compared by `verify`, the whole one by `holds`
        for (const id of partial) {
          const target = patient.world.path(`partiel-${at}`);
          const args = ['restore', MANDATE, '--snapshot', id, '--to', target];
          expect((await patient.agent.run([...args, '--json'])).code).toBe(3);
          const wrong = differences(patient.books, target, { times: false }).filter(
            (line) => !line.includes(': missing ('),
          );
          expect(wrong).toEqual([]);
          expect(existsSync(target)).toBe(true);
          patient.acknowledged.push({ id, copy: target });
        }
        await patient.converges();
      }
      await patient.holds();
    },
  );

  testWith(lacks)(
    'F-26 under the target while it restores: an error that is typed, nothing in place, and the next run restores',
    async () => {
      const folder = patient.world.path('cible');
      let met = 0;
      for (const [index, at] of [1, 2, 3, 5, 8, 12, 18, 26, 40].entries()) {
        const target = join(folder, `ici-${at}`);
        const error = ERRORS[index % ERRORS.length] ?? 'EIO';
        const args = ['restore', MANDATE, '--snapshot', 'latest', '--to', target];
        const outcome = await withFault({ below: folder, calls: CALLS, error, at }, args);
        met += outcome.met.length;
        expect(outcome.code === 0).toBe(outcome.error === undefined);
        if (outcome.code !== 0) {
          expect(existsSync(target)).toBe(false);
          await patient.agent.json(args);
        }
        expect(differences(patient.acknowledged.at(-1)?.copy ?? '', target)).toEqual([]);
        expect(readdirSync(folder).filter((name) => name.startsWith('.cresus-safe-'))).toEqual([]);
        if (outcome.met.length === 0) break;
      }
      expect(met).toBeGreaterThan(3);
    },
  );
});
