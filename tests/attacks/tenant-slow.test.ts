import { readFileSync } from 'node:fs';
import { MAX_PACK_BYTES, PACK_GRANULE_BYTES, pathOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { until } from '../support/process.ts';
import type { ProtocolClient } from '../support/protocol-client.ts';
import { head, RawConnection } from '../support/raw-http.ts';
import { Tenants } from '../support/tenants.ts';

const DEVICE_CAP = 6;
const PROCESS_CAP = 9;

let tenants: Tenants;
let host: string;

beforeAll(async () => {
  const env = {
    SAFE_HEADER_SECONDS: '2',
    SAFE_STALL_SECONDS: '2',
    SAFE_DEVICE_TRANSFERS: String(DEVICE_CAP),
    SAFE_PROCESS_TRANSFERS: String(PROCESS_CAP),
  };
  tenants = await Tenants.create({ env });
  host = `host: ${new URL(tenants.url).host}`;
});
afterAll(() => tenants[Symbol.asyncDispose]());

/** Begins to upload a pack and sends only the first `bytes` of it. */
async function begin(client: ProtocolClient, bytes: number, length: string): Promise<RawConnection> {
  const pack = client.seal();
  const headers = [host, `authorization: Bearer ${client.token}`, 'content-type: application/octet-stream', length];
  const connection = await RawConnection.to(tenants.url);
  connection.write(head(`PUT ${pathOf('pack', { packId: pack.packId })}`, headers));
  return connection.write(pack.bytes.subarray(0, bytes));
}

const WHOLE = `content-length: ${PACK_GRANULE_BYTES}`;

/** Resident memory of the server, bytes. */
function memory(): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${tenants.world.server.pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}

describe('TN-11 more than a pack may have', () => {
  it('TN-11 a length over the limit is refused before anything is read', async () => {
    const before = memory();
    using connection = await begin(tenants.a, 0, `content-length: ${MAX_PACK_BYTES + PACK_GRANULE_BYTES}`);
    const answer = await connection.answer();
    expect([answer.status, JSON.parse(answer.body).code, answer.headers['connection']]).toEqual([
      413,
      'too-large',
      'close',
    ]);
    await connection.closed();
    expect(memory() - before).toBeLessThan(50_000_000);
    expect(await tenants.a.used()).toMatchObject({ usedObjects: 0 });
  });

  it('TN-11 chunks without end are given up at the limit, whatever takes them', async () => {
    const { a } = tenants;
    const before = memory();
    const piece = Buffer.alloc(64 * 1024, 1);
    const chunk = Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
    for (const [first, type, expected] of [
      [`POST ${pathOf('seen')}`, 'application/json', 413],
      [`POST ${pathOf('journal')}`, 'application/octet-stream', 413],
      [`PUT ${pathOf('pack', { packId: 'ab'.repeat(32) })}`, 'application/octet-stream', 411],
    ] as const) {
      using connection = await RawConnection.to(tenants.url);
      const lines = [host, `authorization: Bearer ${a.token}`, `content-type: ${type}`, 'transfer-encoding: chunked'];
      connection.write(head(first, lines));
      const answer = connection.answer();
      for (let sent = 0; sent < 24 * 1024 * 1024 && connection.socket.writable; sent += piece.length) {
        connection.write(chunk);
        if (connection.socket.writableLength > 1_000_000) await new Promise((resume) => setTimeout(resume, 5));
        if (connection.socket.bytesWritten > 16 * 1024 * 1024) break;
      }
      expect([first, (await answer).status]).toEqual([first, expected]);
      await connection.closed();
      expect(connection.socket.bytesWritten).toBeLessThan(22 * 1024 * 1024);
    }
    expect(memory() - before).toBeLessThan(100_000_000);
    expect(tenants.temporary()).toEqual([]);
  });
});

describe('TN-12, TN-13, TN-34 what never ends', () => {
  it('TN-12 a body that stalls gets 408 and leaves neither file nor reservation', async () => {
    using connection = await begin(tenants.a, 1_000, WHOLE);
    await until(
      () => (tenants.temporary().length === 1 ? true : undefined),
      () => 'no upload began',
    );
    expect((await tenants.a.used()).usedObjects).toBe(1);
    const answer = await connection.answer();
    expect([answer.status, JSON.parse(answer.body).code]).toEqual([408, 'timeout']);
    await connection.closed();
    expect(tenants.temporary()).toEqual([]);
    expect(await tenants.a.used()).toEqual({ usedBytes: 0, usedObjects: 0 });
  });

  it('TN-13 a thousand sockets that drip headers end in 408, and honest requests are answered meanwhile', async () => {
    const connections = await Promise.all(Array.from({ length: 1_000 }, () => RawConnection.to(tenants.url)));
    for (const connection of connections) connection.write('GET /v1/account HTTP/1.1\r\nx: ');
    const drip = setInterval(() => {
      for (const connection of connections) connection.write('y');
    }, 500);
    const begun = performance.now();
    expect((await tenants.b.call('GET', pathOf('account'))).status).toBe(200);
    expect(performance.now() - begun).toBeLessThan(10_000);
    const answers = await Promise.all(connections.map((connection) => connection.answer(40_000)));
    clearInterval(drip);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([408]));
    await Promise.all(connections.map((connection) => connection.closed()));
  });

  it('TN-34 uploads that are begun and never finished: 503 over the cap of a device and of the process, then all is swept', async () => {
    const { a, b } = tenants;
    const packs = 40;
    const connections = await Promise.all(Array.from({ length: packs }, () => begin(a, 1_000, WHOLE)));
    await until(
      () => (tenants.temporary().length === DEVICE_CAP ? true : undefined),
      () => `${tenants.temporary().length} uploads began`,
    );
    const other = await b.put(b.seal()); // nobody else is held up
    expect(other.status).toBe(201);
    const more = await Promise.all(Array.from({ length: 6 }, () => begin(b, 1_000, WHOLE)));
    const answers = await Promise.all([...connections, ...more].map((connection) => connection.answer(30_000)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 408)).toHaveLength(PROCESS_CAP);
    expect(statuses.filter((status) => status === 503)).toHaveLength(packs + more.length - PROCESS_CAP);
    for (const { status, headers, body } of answers)
      if (status === 503) {
        expect(Number(headers['retry-after'])).toBeGreaterThan(0);
        expect(JSON.parse(body).code).toBe('busy');
      }
    await Promise.all([...connections, ...more].map((connection) => connection.closed()));
    expect(tenants.temporary()).toEqual([]);
    expect(await a.used()).toEqual({ usedBytes: 0, usedObjects: 0 });
    expect((await a.put(a.seal())).status).toBe(201); // the places are free again
  });

  it('TN-13 a client that does not read its answer loses the connection', async () => {
    const { a } = tenants;
    const { pack } = await a.send(Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))));
    using connection = await RawConnection.to(tenants.url);
    connection.socket.pause();
    const request = head(`GET ${pathOf('pack', { packId: pack.packId })}`, [host, `authorization: Bearer ${a.token}`]);
    for (let requests = 0; requests < 200; requests++) connection.write(request); // more than all buffers take
    await new Promise((resume) => setTimeout(resume, 9_000));
    connection.socket.resume();
    await connection.closed();
    expect(connection.socket.bytesRead).toBeLessThan(200 * PACK_GRANULE_BYTES);
    expect((await a.call('GET', pathOf('account'))).status).toBe(200);
  });
});
