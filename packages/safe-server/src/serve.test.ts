import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startTestServer } from './app.test.bed.ts';
import { loadConfig } from './config.ts';
import { createLog } from './log.ts';
import { type Running, startServer } from './serve.ts';
import { addSubscriber } from './subscriptions/service.ts';
import { openSystem, type System } from './system.ts';
import { Client, makePack } from './vaults/conversation.test.bed.ts';

let dir: string;
let system: System;
let running: Running;
let client: Client;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'safe-serve-'));
  const config = await loadConfig({ dataDir: join(dir, 'data'), listen: '127.0.0.1:0', drainSeconds: 5 }, {});
  system = await openSystem(config, { log: createLog({ level: 'silent' }), create: true });
  running = await startServer(system);
  const facts = { name: 'Rochat', email: 'a@b.example', language: 'fr' as const, expiresOn: '2050-12-31' };
  const { subscriber, code } = await addSubscriber(system.deps, 'test', {
    ...facts,
    number: undefined,
    quotaBytes: 1e9,
  });
  client = new Client(running.url, subscriber.number);
  Object.assign(client, (await client.call('POST', '/v1/devices', { code, name: 'PC' })).json);
  await client.createVault();
});
afterEach(async () => {
  await running.stop().catch(() => undefined); // a test may have stopped it
  await rm(dir, { recursive: true });
});

/** Starts to PUT a pack and leaves it half sent. */
async function half(pack: { id: string; bytes: Buffer }) {
  const { port } = new URL(running.url);
  const socket = connect(Number(port), '127.0.0.1');
  let received = '';
  socket.on('data', (piece) => {
    received += piece.toString('latin1');
  });
  const head = `PUT /v1/packs/${pack.id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${client.token}\r\n`;
  socket.write(`${head}Content-Type: application/octet-stream\r\nContent-Length: ${pack.bytes.length}\r\n\r\n`);
  socket.write(pack.bytes.subarray(0, 1000));
  await sleep(300);
  return { socket, received: () => received };
}

describe('F-17 stopping with uploads in flight', () => {
  it('finishes them, refuses what is new, and ends', async () => {
    const pack = makePack();
    const upload = await half(pack);
    const idle = connect(Number(new URL(running.url).port), '127.0.0.1');
    await once(idle, 'connect');
    const stopped = running.stop();
    await sleep(100);
    await expect(fetch(`${running.url}/health/live`)).rejects.toThrow(); // no new connection is taken
    upload.socket.write(pack.bytes.subarray(1000));
    await once(upload.socket, 'close');
    expect(upload.received()).toMatch(/^HTTP\/1\.1 201 /);
    await stopped;
    expect(await system.deps.blobs.stat(`v/${client.vaultId}/p/${pack.id}`)).toEqual({ length: pack.bytes.length });
  }, 20_000);

  it('cuts those that do not end in time', async () => {
    const upload = await half(makePack());
    upload.socket.on('error', () => undefined);
    const start = performance.now();
    await running.stop();
    expect(performance.now() - start).toBeGreaterThan(4000);
    expect(upload.received()).toBe('');
  }, 20_000);
});

describe('a new request on an open connection while draining', () => {
  it('is answered 503 and the connection closes', async () => {
    const server = await startTestServer();
    const socket = connect(server.port, '127.0.0.1');
    socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    server.lifecycle.draining = true;
    let answer = '';
    socket.on('data', (piece) => {
      answer += piece.toString();
    });
    socket.write('GET /v1/account HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer.toLowerCase()).toContain('retry-after: 5');
    await server.close();
  });
});

describe('caps of concurrent transfers', () => {
  it('answer 503 with Retry-After beyond them, to this device only, and free their places', async () => {
    await running.stop();
    const server = await startTestServer({ deviceTransfers: 2 });
    const clients = await Promise.all(
      [0, 1].map(async () => {
        const { number, code } = await server.subscriber();
        const added = Object.assign(new Client(server.url, number), await server.enrol(code));
        await added.createVault();
        return added;
      }),
    );
    const [one, two] = clients as [Client, Client];
    const slow = [makePack(), makePack()].map((pack) => {
      const socket = connect(server.port, '127.0.0.1');
      const head = `PUT /v1/packs/${pack.id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${one.token}\r\n`;
      socket.write(`${head}Content-Type: application/octet-stream\r\nContent-Length: ${pack.bytes.length}\r\n\r\n`);
      return { socket, pack };
    });
    await sleep(300);
    const pack = makePack();
    const refused = await one.call('PUT', `/v1/packs/${pack.id}`, pack.bytes);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('2');
    expect((await one.call('GET', '/v1/account')).status).toBe(200);
    await two.putPack();
    for (const { socket } of slow) socket.destroy();
    await sleep(300);
    await one.putPack(pack);
    await server.close();
  }, 20_000);
});

it('an address that is taken is said so', async () => {
  const { port } = new URL(running.url);
  const config = await loadConfig({ dataDir: join(dir, 'other'), listen: `127.0.0.1:${port}` }, {});
  const other = await openSystem(config, { log: createLog({ level: 'silent' }), create: true });
  await expect(startServer(other)).rejects.toMatchObject({ key: 'serve.listen', params: { reason: 'EADDRINUSE' } });
  await other.close();
});
