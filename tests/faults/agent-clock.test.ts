import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Clock } from '../support/clock.ts';
import { Patient } from '../support/patient.ts';

const DAY = 86_400_000;
const YEAR = 365 * DAY;

let patient: Patient;
let serverClock: Clock;
let agentClock: Clock;

// Date.now alone is moved (`clock.mjs`): that is what a clock set by hand or by NTP changes; monotonic time goes on
beforeAll(async () => {
  const env: Record<string, string> = {};
  patient = await Patient.create({ env });
  serverClock = new Clock(patient.world.path('server-clock'));
  agentClock = new Clock(patient.world.path('agent-clock'));
  Object.assign(env, serverClock.env);
  await patient.world.server.stop();
  await patient.world.server.start();
  patient.work();
  await patient.converges();
});
afterAll(() => patient[Symbol.asyncDispose]());

describe('F-41 clocks', () => {
  it.each([
    ['a year ahead', YEAR],
    ['a year behind', -YEAR],
    ['over the change to summer time', Date.UTC(2027, 2, 28, 0, 59, 30) - Date.now()],
    ['over the leap day of 2028', Date.UTC(2028, 1, 29, 23, 59, 50) - Date.now()],
  ])('F-41 the server’s jumps %s: no token ends, nothing live goes, sending and restoring work', async (_, jump) => {
    const server = patient.world.server;
    const now = Date.now();
    serverClock.goTo(now + jump);
    patient.work();
    await patient.converges();
    await server.stop();
    await server.start(); // its jobs run at the start
    await patient.holds('all');
    serverClock.goTo(now);
    patient.work();
    await patient.converges();
    await patient.holds('all');
  });

  it.each([
    ['1970', 5_000],
    ['after 2038', Date.UTC(2038, 0, 20)],
    ['a year ahead', Date.now() + YEAR],
    ['a day behind', Date.now() - DAY],
  ])('F-41 the computer’s says %s: sends and restores as ever, and status says that it is wrong', async (_, time) => {
    agentClock.goTo(time);
    const odd = patient.agent.with({ env: agentClock.env });
    patient.work();
    expect(await patient.converges(odd)).toMatchObject({ unchanged: false });
    expect(await patient.converges(odd)).toMatchObject({ unchanged: true });
    const { warnings } = await odd.json<{ warnings: { code: string }[] }>(['status']);
    expect(warnings.map(({ code }) => code)).toContain('clock');
    agentClock.goTo(Date.now());
    expect(await patient.converges()).toMatchObject({ unchanged: true });
    await patient.holds();
  });

  it('F-41 the computer’s jumps to and fro while it sends', async () => {
    const odd = patient.agent.with({ env: agentClock.env });
    const places = [-YEAR, YEAR, -50 * YEAR, 0, 12 * YEAR];
    let jumps = 0;
    const timer = setInterval(() => agentClock.goTo(Date.now() + (places[jumps++ % places.length] ?? 0)), 15);
    try {
      for (let day = 0; day < 2; day++) {
        patient.work(300_000);
        await patient.converges(odd);
      }
    } finally {
      clearInterval(timer);
    }
    expect(jumps).toBeGreaterThan(20);
    agentClock.goTo(Date.now());
    await patient.holds('all');
  });
});
