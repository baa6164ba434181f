import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MANDATE, Patient } from '../support/patient.ts';

let patient: Patient;

beforeAll(async () => {
  patient = await Patient.create();
  patient.work();
  await patient.converges();
});
afterAll(() => patient[Symbol.asyncDispose]());

describe('an agent that is killed while it sends', () => {
  it.each([
    ['F-01', 'scan', 'nothing'],
    ['F-02', 'pack-open', 'nothing'],
    ['F-03', 'pack-sent', 'nothing'],
    ['F-04', 'pack-acked', 'nothing'],
    ['F-05', 'before-commit', 'nothing'],
    ['F-06', 'commit-sent', 'snapshot'],
    ['F-07', 'commit-acked', 'snapshot'],
    ['F-08', 'state-temp', 'either'],
    ['F-08', 'state-renamed', 'either'],
  ] as const)(
    '%s at %s, at each passing: %s is visible, everything holds, the next run converges',
    async (_, point, visible) => {
      let kills = 0;
      for (let n = 1; ; n++) {
        patient.work();
        const before = patient.acknowledged.length;
        if (!(await patient.agent.dies(point, n, ['send', MANDATE]))) break;
        kills += 1;
        if (visible !== 'either')
          expect(await patient.snapshots()).toHaveLength(before + (visible === 'snapshot' ? 1 : 0));
        await patient.holds();
        const { unchanged } = await patient.converges();
        if (visible !== 'either') expect(unchanged).toBe(visible === 'snapshot');
        expect(patient.acknowledged).toHaveLength(before + 1);
        if (n === 30) throw new Error(`${point} has no end`);
      }
      expect(kills).toBeGreaterThan(0);
      await patient.converges(); // what the run that ended by itself made
    },
  );

  it('all that was acknowledged in all these runs restores byte for byte', async () => {
    expect(patient.acknowledged.length).toBeGreaterThan(20);
    await patient.holds('all');
  });
});
