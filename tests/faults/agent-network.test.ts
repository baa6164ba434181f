import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Clock } from '../support/clock.ts';
import { differences } from '../support/compare.ts';
import { HostileServer } from '../support/hostile.ts';
import { MANDATE, Patient } from '../support/patient.ts';
import { collect, until } from '../support/process.ts';
import { ask } from '../support/protocol-client.ts';
import { BadLine } from '../support/tcp-proxy.ts';

const HOUR = 3_600_000;
const PACK = 700_000;

let patient: Patient;
let proxy: HostileServer;
let line: BadLine;

// agent → bad line → (honest) hostile proxy → server
beforeAll(async () => {
  patient = await Patient.create({}, async (url) => {
    proxy = await HostileServer.before(url);
    line = await BadLine.to(proxy.url);
    return line.url;
  });
  await patient.converges();
});
afterEach(() => {
  line.set({});
  proxy.reset();
});
afterAll(async () => {
  await line[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await patient[Symbol.asyncDispose]();
});

/** Requests that reached the server since the proxy was reset. */
const arrived = (method: string): string[] =>
  proxy.exchanges.filter(({ asked }) => asked.method === method).map(({ asked }) => asked.path);

describe('F-38 the line', () => {
  it.each(['reset', 'end'] as const)(
    'F-38 is cut (%s) at every tenth of a pack: the same run tries again and ends well',
    async (how) => {
      const tenths = how === 'reset' ? [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] : [0, 5, 9];
      for (const tenth of tenths) {
        patient.work(PACK - 50_000);
        const { cut } = line.carried;
        // small calls carry less than that; the first connection that is cut mends the line
        line.set({ cut: { way: 'up', after: 1500 + Math.floor((PACK / 10) * tenth), how } });
        const mending = setInterval(() => line.carried.cut > cut && line.set({}), 1);
        const copy = patient.copy();
        const sent = await patient.agent.send(MANDATE).finally(() => clearInterval(mending));
        expect(line.carried.cut).toBeGreaterThan(cut);
        patient.acknowledged.push({ id: sent.id, copy });
      }
      expect(await patient.snapshots()).toHaveLength(patient.acknowledged.length);
      await patient.holds('all');
    },
  );

  it('F-38 loses the answer to the commit: the entry is found again, one snapshot', async () => {
    for (const way of ['reset', 'torn']) {
      patient.work();
      proxy.onAnswer = ({ path, method }) => {
        if (method !== 'POST' || path !== '/v1/journal') return undefined;
        proxy.onAnswer = () => undefined;
        return { raw: (socket) => void (way === 'reset' ? socket.resetAndDestroy() : socket.end('HTTP/1.1 201')) };
      };
      expect(await patient.converges()).toMatchObject({ unchanged: false });
      proxy.reset();
    }
    await patient.holds();
  });

  it('F-38 is refused, or leads nowhere: exit 9 soon, and nothing is lost', async () => {
    patient.work();
    await line.refuse();
    expect(await patient.agent.refused(['send', MANDATE])).toMatchObject({
      exitCode: 9,
      error: { code: 'unreachable' },
    });
    await line.accept();
    const stranger = patient.world.computer();
    const nowhere = ['connect', '--server', 'https://safe.invalid', '--code', 'AAAA-BBBB-CCCC'];
    expect(await stranger.refused(nowhere)).toMatchObject({ exitCode: 9, error: { code: 'unreachable' } });
    await patient.converges();
    await patient.holds();
  });

  it('F-38 is half open, the server vanished without a word: a send and a restore notice within a minute and go on', async () => {
    patient.work(PACK);
    await patient.converges();
    patient.work(PACK);
    const copy = patient.copy();
    const { up, down } = line.carried;
    line.set({ bytesPerSecond: 100_000 });
    const restored = patient.world.path('half-open');
    const last = patient.acknowledged.at(-1);
    const restoring = patient.watcher.restore(MANDATE, '--snapshot', last?.id ?? '', '--to', restored);
    const sending = patient.agent.send(MANDATE);
    await until(
      () => (line.carried.up - up > 200_000 && line.carried.down - down > 150_000 ? true : undefined),
      () => 'nothing moves',
    );
    const begun = performance.now();
    line.vanish();
    line.set({});
    const ended = Promise.all([sending, restoring]);
    await expect(ended.then(() => performance.now() - begun)).resolves.toBeLessThan(65_000);
    expect(performance.now() - begun).toBeGreaterThan(20_000); // they did hang
    patient.acknowledged.push({ id: (await sending).id, copy });
    expect(differences(last?.copy ?? '', restored)).toEqual([]);
    await patient.holds();
  });

  it('F-38 ends at a captive portal that answers 200 with a page: refused as no Safe, nothing was believed', async () => {
    patient.work();
    const page = Buffer.from('<html><body>Bienvenue au café, acceptez nos conditions</body></html>');
    proxy.onRequest = () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: page });
    const refusal = await patient.agent.refused(['send', MANDATE]);
    expect([9, 10]).toContain(refusal.exitCode);
    proxy.onRequest = ({ method }) =>
      method === 'PUT' || method === 'POST'
        ? { status: 200, headers: { 'content-type': 'text/html' }, body: page }
        : undefined;
    const later = await patient.agent.refused(['send', MANDATE]); // the portal appears in the middle of the run
    expect([9, 10]).toContain(later.exitCode);
    proxy.reset();
    expect(await patient.converges()).toMatchObject({ unchanged: false });
    await patient.holds();
  });
});

describe('F-39, F-40 the line', () => {
  it('F-39 carries 56 kB/s with two seconds of delay and drops out now and then: the send completes, in one go', async () => {
    patient.work(200_000);
    const slow = { bytesPerSecond: 56_000, latencyMs: 1000 };
    line.set(slow);
    // TCP hides loss as pauses: one second in twenty
    let second = 0;
    const loss = setInterval(() => line.set(++second % 20 === 10 ? { ...slow, hang: true } : slow), 1000);
    try {
      expect(await patient.converges()).toMatchObject({ unchanged: false });
    } finally {
      clearInterval(loss);
    }
    expect(proxy.exchanges.filter(({ answer }) => answer?.status === 408)).toEqual([]);
    expect(arrived('PUT')).toHaveLength(1);
    line.set({});
    await patient.holds();
  });

  it('F-40 repeats every request, and sends some again much later: each has one effect', async () => {
    const late: (() => Promise<unknown>)[] = [];
    proxy.onRequest = async ({ method, path, headers, body }) => {
      if (method === 'GET') return undefined;
      const again = () =>
        ask(`${patient.world.server.url}${path}`, {
          method,
          ...(body.length > 0 && { body }),
          headers: {
            authorization: String(headers.authorization),
            ...(headers['content-type'] && { 'content-type': headers['content-type'] }),
          },
        });
      await again(); // the first of the two; the agent hears the answer to the second
      late.push(again);
      return undefined;
    };
    for (let day = 0; day < 2; day++) {
      patient.work();
      expect(await patient.converges()).toMatchObject({ unchanged: false });
    }
    const statuses = (await Promise.all(late.reverse().map((again) => again()))).map(
      (answer) => (answer as { status: number }).status,
    );
    expect(statuses.length).toBeGreaterThanOrEqual(4);
    expect(statuses.filter((status) => ![200, 204].includes(status))).toEqual([]);
    proxy.reset();
    await patient.holds('all');
  });
});

describe('F-42 the laptop', () => {
  it('F-42 sleeps for eight hours in the middle of an upload: it goes on where it was, in the same run', async () => {
    patient.work(PACK);
    const clock = new Clock(patient.world.path('agent-clock'));
    line.set({ bytesPerSecond: 400_000 });
    const copy = patient.copy();
    const child = patient.agent.start(['send', MANDATE, '--json'], { env: clock.env });
    const output = collect(child);
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const { up } = line.carried;
    await until(
      () => (line.carried.up - up > 250_000 || child.exitCode !== null ? true : undefined),
      () => 'no upload',
    );
    child.kill('SIGSTOP');
    clock.advance(8 * HOUR);
    line.resetAll(); // no server keeps a connection that long
    line.set({});
    child.kill('SIGCONT');
    expect([await ended, output.stderr()]).toEqual([0, expect.any(String)]);
    const [snapshot] = (JSON.parse(output.stdout()) as { snapshots: { id: string }[] }).snapshots;
    patient.acknowledged.push({ id: snapshot?.id ?? '', copy });
    expect((await patient.converges()).unchanged).toBe(true);
    await patient.holds();
  });
});
