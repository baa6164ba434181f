import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { type Running, startServer } from '../serve.ts';
import { addSubscriber } from '../subscriptions/service.ts';
import { openSystem, type System } from '../system.ts';
import { Client } from '../vaults/conversation.test.bed.ts';
import { Metrics } from './metrics.ts';
import { takeSample } from './sample.ts';
import { measureStore } from './stores.ts';

let dir: string;
let system: System;
let running: Running;
let client: Client;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'safe-metrics-'));
  const listen = { listen: '127.0.0.1:0', metricsListen: 0 };
  const config = await loadConfig({ dataDir: join(dir, 'data'), ...listen, drainSeconds: 1 }, {});
  system = await openSystem(config, { log: createLog({ level: 'silent' }), create: true });
  const facts = { email: 'a@b.example', language: 'fr' as const, number: undefined, quotaBytes: 1e9 };
  const { subscriber, code } = await addSubscriber(system.deps, 'test', {
    ...facts,
    name: 'Rochat',
    expiresOn: '2050-12-31',
  });
  await addSubscriber(system.deps, 'test', { ...facts, name: 'Ancienne SA', expiresOn: '2020-12-31' });
  running = await startServer(system);
  client = new Client(running.url, subscriber.number);
  Object.assign(client, (await client.call('POST', '/v1/devices', { code, name: 'PC' })).json);
  await client.createVault();
  await client.putPack();
  await client.call('GET', `/${'x'.repeat(40)}`);
}, 30_000);
afterAll(async () => {
  await running.stop();
  await rm(dir, { recursive: true });
});

async function scrape(): Promise<Map<string, number>> {
  const answer = await fetch(String(running.metricsUrl));
  expect(answer.status).toBe(200);
  const lines = (await answer.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

describe('the metrics of a server', () => {
  it('count requests by the route that took them, never by what a client wrote', async () => {
    const found = await scrape();
    expect(found.get('safe_http_requests_total{route="/v1/packs/:packId",method="PUT",status="201"}')).toBe(1);
    const unmatched = [...found].filter(([key]) => key.startsWith('safe_http_requests_total{route="unmatched"'));
    expect(unmatched).toEqual([['safe_http_requests_total{route="unmatched",method="GET",status="404"}', 1]]);
    expect([...found.keys()].filter((key) => /xxxx/.test(key) || key.includes(client.vaultId))).toEqual([]);
    expect(found.get('safe_http_bytes_total{direction="in"}')).toBeGreaterThan(1000);
    expect(found.get('safe_transfers_running{direction="in"}')).toBe(0);
  });

  it('time the database, the store and the event loop', async () => {
    const found = await scrape();
    expect(found.get('safe_db_duration_seconds_count{kind="write"}')).toBeGreaterThan(2);
    expect(found.get('safe_db_queue_seconds_count')).toBe(found.get('safe_db_duration_seconds_count{kind="write"}'));
    expect(found.get('safe_store_duration_seconds_count{operation="put"}')).toBeGreaterThan(1);
    expect(found.get('safe_nodejs_eventloop_lag_p99_seconds')).toBeGreaterThanOrEqual(0);
  });

  it('tell when each job last ended well', async () => {
    const found = await scrape();
    for (const job of ['mirror', 'sweep', 'heartbeat']) {
      expect(found.get(`safe_job_last_success_timestamp_seconds{name="${job}"}`)).toBeGreaterThan(
        Date.now() / 1000 - 60,
      );
      expect(found.get(`safe_job_failures_total{name="${job}"}`)).toBe(0);
    }
  });

  it('sample the subscribers by state, what they store and who is silent', async () => {
    const found = await scrape();
    expect(found.get('safe_subscribers{state="active"}')).toBe(1);
    expect(found.get('safe_subscribers{state="read-only"}')).toBe(1);
    expect(found.get('safe_stored_bytes')).toBeGreaterThan(1000);
    const later = { ...system.deps, clock: () => Date.now() + 20 * 86_400_000 };
    const { oldestSilence, silentMandates } = await takeSample(later);
    expect({ oldestSilence, silentMandates }).toEqual({ oldestSilence: null, silentMandates: 0 }); // no mandate yet
  });

  it('TN-49 answer on their own address only, and that answers nothing else', async () => {
    for (const path of ['/metrics', '/.git/config', '/.env', '/main.js.map', '/dist/main.js.map', '/package.json'])
      expect((await fetch(`${running.url}${path}`)).status).toBe(404);
    const { origin } = new URL(String(running.metricsUrl));
    for (const path of ['/', '/health/live', '/v1/account', '/metrics/'])
      expect((await fetch(`${origin}${path}`)).status).toBe(404);
    expect((await fetch(String(running.metricsUrl), { method: 'POST' })).status).toBe(404);
    expect(origin).toMatch(/^http:\/\/127\.0\.0\.1:/);
  });

  it('two servers in one process count apart, and a store that fails is counted', async () => {
    const [one, two] = [new Metrics(), new Metrics()];
    const broken = measureStore({ ...system.deps.blobs, stat: () => Promise.reject(new Error('EIO')) } as never, one);
    await expect((broken as typeof system.deps.blobs).stat('meta/ready')).rejects.toThrow('EIO');
    expect(await one.registry.metrics()).toContain('safe_store_errors_total{operation="stat"} 1');
    expect(await two.registry.metrics()).not.toContain('operation="stat"');
  });
});

it('an address of metrics is loopback unless a host is named', async () => {
  const at = async (metricsListen: string) => (await loadConfig({ metricsListen }, {})).metrics;
  expect(await at('9464')).toEqual({ host: '127.0.0.1', port: 9464 });
  expect(await at('0.0.0.0:9464')).toEqual({ host: '0.0.0.0', port: 9464 });
  await expect(at('nowhere')).rejects.toMatchObject({ key: 'config.invalid' });
});
