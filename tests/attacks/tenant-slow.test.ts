import { readFileSync } from 'node:fs';
import { MAX_PACK_BYTES, PACK_GRANULE_BYTES, type PackId, pathOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { noise } from '../support/noise.ts';
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
    const drip = setInterval(() => {
      for (const connection of connections) connection.write(Buffer.alloc(1_200)); // just fast enough to be borne
    }, 400);
    await until(
      () => (tenants.temporary().length === DEVICE_CAP ? true : undefined),
      () => `${tenants.temporary().length} uploads began`,
    );
    const other = await b.put(b.seal()); // nobody else is held up
    expect(other.status).toBe(201);
    const more = await Promise.all(Array.from({ length: 6 }, () => begin(b, 1_000, WHOLE)));
    connections.push(...more);
    const answering = connections.map((connection) => connection.answer(60_000));
    let refused = 0;
    for (const answer of answering) void answer.then(({ status }) => (refused += Number(status === 503)));
    await until(
      () => (refused === connections.length - PROCESS_CAP ? true : undefined),
      () => `${refused} uploads were refused`,
    );
    clearInterval(drip);
    const answers = await Promise.all(answering);
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 408)).toHaveLength(PROCESS_CAP);
    expect(statuses.filter((status) => status === 503)).toHaveLength(refused);
    for (const { status, headers, body } of answers)
      if (status === 503) {
        expect(Number(headers['retry-after'])).toBeGreaterThan(0);
        expect(JSON.parse(body).code).toBe('busy');
      }
    await Promise.all(connections.map((connection) => connection.closed()));
    expect(tenants.temporary()).toEqual([]);
    expect(await a.used()).toEqual({ usedBytes: 0, usedObjects: 0 });
    expect((await a.put(a.seal())).status).toBe(201); // the places are free again
  });

  it('TN-13 a client that does not read its answer loses the connection', async () => {
    const { a } = tenants;
    const { pack } = await a.send(noise('never read', 8_000_000)); // more than all buffers on the way take
    using connection = await RawConnection.to(tenants.url);
    connection.socket.pause();
    const begun = cut();
    connection.write(getPack(a, pack.packId));
    await until(
      () => (cut() > begun ? true : undefined),
      () => 'the server still waits for its reader',
    );
    connection.socket.resume();
    await connection.closed();
    expect(connection.socket.bytesRead).toBeLessThan(pack.bytes.length);
    expect((await a.call('GET', pathOf('account'))).status).toBe(200);
  });

  it('TN-34 what waits behind an answer that nobody reads gives its place back when the connection goes', async () => {
    const { a } = tenants;
    const { pack } = await a.send(noise('behind it', 8_000_000));
    for (let times = 0; times < DEVICE_CAP; times++) {
      const begun = cut();
      using connection = await RawConnection.to(tenants.url);
      connection.socket.pause();
      connection.write(getPack(a, pack.packId)).write(getPack(a, pack.packId));
      const lines = [host, `authorization: Bearer ${a.token}`, 'content-type: application/octet-stream', WHOLE];
      connection.write(head(`PUT ${pathOf('pack', { packId: a.seal().packId })}`, lines)).write(Buffer.alloc(1_000));
      await until(
        () => (tenants.temporary().length === 1 ? true : undefined),
        () => 'no upload began',
      );
      connection.socket.destroy();
      await until(
        () => (cut() > begun && tenants.temporary().length === 0 ? true : undefined),
        () => 'the server did not notice',
      );
    }
    expect((await a.put(a.seal())).status).toBe(201);
    expect((await a.call('GET', pathOf('pack', { packId: pack.packId }))).status).toBe(200);
  });

  it('TN-13 an answer waits for the one before it as long as that is read', async () => {
    const { a } = tenants;
    const { pack } = await a.send(noise('slowly read', 8_000_000));
    using connection = await RawConnection.to(tenants.url);
    const { socket } = connection;
    socket.pause();
    connection.write(getPack(a, pack.packId)).write(getPack(a, pack.packId));
    for (let rounds = 0; rounds < 20; rounds++) {
      await new Promise((resume) => setTimeout(resume, 250)); // together more than the time for a stall
      const wanted = Math.min(socket.bytesRead + 300_000, pack.bytes.length);
      socket.resume();
      while (socket.bytesRead < wanted) await new Promise((resume) => socket.once('data', resume));
      socket.pause();
    }
    socket.resume();
    for (let answers = 0; answers < 2; answers++) expect((await connection.answer()).status).toBe(200);
  });
});

/** How many answers the server has given up so far. */
const cut = (): number => tenants.world.server.log.split('"aborted":true').length - 1;

function getPack(client: ProtocolClient, packId: PackId): string {
  return head(`GET ${pathOf('pack', { packId })}`, [host, `authorization: Bearer ${client.token}`]);
}
