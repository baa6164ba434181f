import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Clock } from '../support/clock.ts';
import { MANDATE, Patient } from '../support/patient.ts';

let patient: Patient;
let clock: Clock;

beforeAll(async () => {
  const env: Record<string, string> = { SAFE_PENDING_MINUTES: '1' };
  patient = await Patient.create({ env });
  clock = new Clock(patient.world.path('server-clock'));
  Object.assign(env, clock.env); // from the next start on
  patient.work();
  await patient.converges();
});
afterAll(() => patient[Symbol.asyncDispose]());

/** Lets the time of reservations pass; the sweep of the next start gives back those of uploads that never ended. */
async function swept(): Promise<void> {
  const { server } = patient.world;
  clock.advance(120_000);
  await server.stop();
  await server.start();
}

describe('a server that is killed under a sending agent', () => {
  it.each([
    ['F-13', 'pack-pending'],
    ['F-13', 'pack-temp'],
    ['F-14', 'pack-renamed'],
    ['F-15', 'pack-stored'],
    ['F-16', 'append-row'],
    ['F-16', 'append-committed'],
    ['F-16', 'append-mirrored'],
  ])(
    '%s at %s: the agent gets through by itself or says that it could not, and the next run converges to one snapshot',
    async (_, point) => {
      const { server } = patient.world;
      await server.stop();
      await server.start({ env: { SAFE_CRASH_AT: point } });
      patient.work();
      const before = patient.acknowledged.length;
      const sending = patient.agent.run(['send', MANDATE, '--json']);
      await server.ended();
      await server.start();
      const { code, stdout } = await sending;
      if (code !== 0) expect([code, JSON.parse(stdout)]).toMatchObject([9, { error: { code: 'unreachable' } }]);
      const { unchanged } = await patient.converges();
      if (code === 0) expect(unchanged).toBe(true);
      expect(patient.acknowledged).toHaveLength(before + 1);
      await swept();
      await patient.holds();
    },
  );

  it('killed by nobody’s plan, again and again, while snapshots are sent: nothing that was acknowledged is lost', async () => {
    const { server } = patient.world;
    for (let round = 0; round < 3; round++) {
      patient.work(400_000);
      const copy = patient.copy();
      const sending = patient.agent.run(['send', MANDATE, '--json']);
      await new Promise((resume) => setTimeout(resume, 300 + round * 250));
      await server.stop('SIGKILL');
      await server.start();
      const { code, stdout } = await sending;
      if (code === 0) {
        const { snapshots } = JSON.parse(stdout) as { snapshots: { id: string }[] };
        patient.acknowledged.push({ id: snapshots[0]?.id ?? '', copy });
      }
      await patient.converges();
    }
    await swept();
    await patient.holds('all');
  });
});
