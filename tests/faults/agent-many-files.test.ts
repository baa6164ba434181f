import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeSmallFiles } from '../support/books.ts';
import { differences } from '../support/compare.ts';
import { MANDATE, Patient, settle } from '../support/patient.ts';

const MiB = 1024 * 1024;

let patient: Patient;

beforeAll(async () => {
  patient = await Patient.create();
});
afterAll(() => patient[Symbol.asyncDispose]());

// 100,000 files and more, and files of many GB, are measured by `npm run bench`
describe('F-43 with a heap of 512 MB', () => {
  it('F-43 fifty thousand small files, ten thousand in one folder, names of 255 bytes, a sparse file of 256 MB: sent, restored, sent again', async () => {
    makeSmallFiles(join(patient.books, 'pièces'), 40_000);
    const flat = join(patient.books, 'à plat');
    mkdirSync(flat);
    for (let n = 0; n < 10_000; n++) writeFileSync(join(flat, `${n}`), `${n}`);
    const long = 'é'.repeat(127); // 254 bytes
    for (const last of 'ab') writeFileSync(join(patient.books, `${long}${last}`), last);
    const sparse = openSync(join(patient.books, 'creux.bin'), 'w');
    ftruncateSync(sparse, 256 * MiB);
    writeSync(sparse, 'fin', 177 * MiB);
    closeSync(sparse);
    settle(patient.books);

    const small = patient.agent.with({ env: { NODE_OPTIONS: '--max-old-space-size=512' }, timeoutMs: 300_000 });
    const sent = await small.send(MANDATE);
    expect(sent).toMatchObject({ unchanged: false, problems: [] });
    expect(sent.files).toBeGreaterThan(50_000);
    expect(sent.sentBytes).toBeLessThan(100 * MiB);
    const target = patient.world.path('beaucoup');
    await small.restore(MANDATE, '--snapshot', 'latest', '--to', target);
    expect(differences(patient.books, target)).toEqual([]);
    expect(await small.send(MANDATE)).toMatchObject({ unchanged: true, sentBytes: 0 });
  });
});
