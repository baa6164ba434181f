import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createSocketServer, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { asPackId, asSnapshotId, type PackId } from '@cresus-safe/protocol';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { AgentError, type AgentErrorKind } from '../errors.ts';
import { HttpRemote } from './http-remote.ts';
import { MissingPacks } from './remote.ts';

jest.setTimeout(30_000);

const UNIT = 256 * 1024;
const ID: PackId = asPackId('ab'.repeat(32));
const ACCOUNT = {
  ...{ number: '1', serverId: 'a'.repeat(32), deviceId: 'b'.repeat(32), deviceState: 'active', receiptKeys: [] },
  subscription: {
    ...{ state: 'active', expiresOn: '2027-12-31', graceUntil: '2028-01-31', readOnlyUntil: '2028-12-31' },
    ...{ maySend: true, mayRestore: true },
  },
  ...{ serverTime: 1, quota: { bytes: 1, usedBytes: 0 }, retentionDays: 30, vault: 'none', head: null },
};
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

type Handler = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

/** A server that answers as a test says, and a remote that talks to it with little patience. */
async function against(handler: Handler, options: { stallMs?: number; totalMs?: number } = {}): Promise<HttpRemote> {
  const server: Server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => handler(request, response, Buffer.concat(pieces)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return remoteAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, options);
}

function remoteAt(url: string, { stallMs = 2000, totalMs = 4000 } = {}): HttpRemote {
  const remote = new HttpRemote({ url, token: 't'.repeat(43), stallMs, patience: { totalMs, baseMs: 5 } });
  closing.push(() => remote.close());
  return remote;
}

function problem(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(JSON.stringify(body));
}

async function failure(promise: Promise<unknown>): Promise<AgentError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AgentError);
  return error as AgentError;
}

/** The same answer by each of the two clients: what holds for one holds for the other. */
const CLIENTS: [string, (remote: HttpRemote) => Promise<unknown>][] = [
  ['lean', (remote) => remote.leanAccount()],
  ['got', (remote) => remote.account()],
];

const into = (length: number): Uint8Array => new Uint8Array(length);

describe('refusals', () => {
  const table: [number, unknown, AgentErrorKind][] = [
    [401, { code: 'unauthorized' }, 'device-revoked'],
    [402, { code: 'subscription-expired', expiresOn: '2026-10-31' }, 'subscription-expired'],
    [402, { code: 'suspended', expiresOn: '2050-12-31' }, 'suspended'],
    [404, { code: 'not-found' }, 'not-found'],
    [410, { code: 'pack-gone' }, 'not-found'],
    [507, { code: 'quota' }, 'quota'],
    [503, { code: 'storage-full' }, 'storage-full'],
    [502, { code: 'stored-damaged' }, 'integrity'],
    [403, { code: 'pending' }, 'unreachable'],
    [400, 'not a problem', 'unreachable'],
  ];
  test.each(table)('%i %j is %s', async (status, body, kind) => {
    const remote = await against((_, response) => problem(response, status, body));
    expect((await failure(remote.putPack(ID, randomBytes(UNIT)))).kind).toBe(kind);
    for (const [, call] of CLIENTS) expect((await failure(call(remote))).kind).toBe(kind);
  });

  test('the date of an expired subscription is told', async () => {
    const body = { code: 'subscription-expired', expiresOn: '2026-10-31' };
    const remote = await against((_, response) => problem(response, 402, body));
    expect((await failure(remote.append(new Uint8Array(9)))).params).toMatchObject({ date: '2026-10-31' });
  });

  test('stale-head and missing-packs are typed', async () => {
    const answers = [
      { code: 'stale-head', head: { seq: 7, hash: 'a'.repeat(64) } },
      { code: 'missing-packs', missingPacks: [ID] },
    ];
    const remote = await against((_, response) => problem(response, 409, answers.shift()));
    await expect(remote.append(new Uint8Array(9))).rejects.toEqual(expect.objectContaining({ head: 7 }));
    await expect(remote.append(new Uint8Array(9))).rejects.toEqual(new MissingPacks([ID]));
  });

  test('no vault is an answer, not an error', async () => {
    const remote = await against((_, response) => problem(response, 404, { code: 'vault-none' }));
    expect(await remote.vault()).toBeUndefined();
  });
});

describe('patience', () => {
  test('F-28: 503 with Retry-After, cuts and 500 are tried again with the same bytes', async () => {
    const bodies: Buffer[] = [];
    const remote = await against((request, response, body) => {
      bodies.push(body);
      if (bodies.length === 1) problem(response, 503, { code: 'busy' }, { 'retry-after': '1' });
      else if (bodies.length === 2) request.socket.destroy();
      else if (bodies.length === 3) problem(response, 500, { code: 'internal' });
      else response.writeHead(201, { 'content-type': 'application/json' }).end('{"packId":"x"}');
    });
    const pack = randomBytes(UNIT);
    const start = performance.now();
    expect(await remote.putPack(ID, pack)).toBe('stored');
    expect(bodies.map((body) => body.equals(pack))).toEqual([true, true, true, true]);
    expect(performance.now() - start).toBeGreaterThan(900);
  });

  test.each(CLIENTS)('F-28: the %s client tries busy, cut and failing answers again, as often', async (_, call) => {
    let calls = 0;
    const remote = await against((request, response) => {
      calls += 1;
      if (calls === 1) problem(response, 503, { code: 'busy' }, { 'retry-after': '1' });
      else if (calls === 2) request.socket.destroy();
      else if (calls === 3) problem(response, 500, { code: 'internal' });
      else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(ACCOUNT));
    });
    const start = performance.now();
    expect(JSON.stringify(await call(remote))).toContain('2027-12-31');
    expect(calls).toBe(4);
    expect(performance.now() - start).toBeGreaterThan(900);
  });

  test.each(CLIENTS)('the %s client ends its patience at the deadline, with the reason', async (_, call) => {
    let calls = 0;
    const remote = await against(
      (_, response) => {
        calls += 1;
        problem(response, 503, { code: 'busy' });
      },
      { totalMs: 300 },
    );
    const start = performance.now();
    expect(await failure(call(remote))).toMatchObject({ kind: 'unreachable', params: { reason: '503 busy' } });
    expect(performance.now() - start).toBeLessThan(1500);
    expect(calls).toBeGreaterThan(2);
  });

  test('enrolling is tried once: the code may be spent', async () => {
    let calls = 0;
    const remote = await against((request) => {
      calls += 1;
      request.socket.destroy();
    });
    expect((await failure(remote.enrol('code', 'here'))).kind).toBe('unreachable');
    expect(calls).toBe(1);
  });

  test.each(CLIENTS)('a server that is not there is unreachable at once (%s)', async (_, call) => {
    const start = performance.now();
    expect((await failure(call(remoteAt('http://127.0.0.1:9')))).kind).toBe('unreachable');
    expect(performance.now() - start).toBeLessThan(3000);
  });

  test.each(CLIENTS)('MS-28: a drip of an answer ends (%s)', async (_, call) => {
    const remote = await against(
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const drip = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(drip));
      },
      { stallMs: 200, totalMs: 300 },
    );
    const start = performance.now();
    expect((await failure(call(remote))).kind).toBe('unreachable');
    expect(performance.now() - start).toBeLessThan(3000);
  });

  test('Ctrl-C ends a transfer and a wait', async () => {
    const remote = await against((_, response) => problem(response, 503, { code: 'busy' }, { 'retry-after': '3' }));
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    const start = performance.now();
    expect((await failure(remote.putPack(ID, randomBytes(UNIT), stop.signal))).kind).toBe('interrupted');
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe('a hostile server', () => {
  test('MS-27: packs of a wrong, huge or undeclared length are refused before they fill memory', async () => {
    const headers: Record<string, string>[] = [
      { 'content-length': String(UNIT + 1) },
      { 'content-length': String(10 * 1024 ** 3) },
      { 'content-length': '0' },
      {},
    ];
    for (const header of headers) {
      let asked = 0;
      const remote = await against((_, response) => {
        response.writeHead(200, { 'content-type': 'application/octet-stream', ...header });
        response.write(Buffer.alloc(header['content-length'] === '0' ? 0 : 1000));
        const flood = setInterval(() => response.write(Buffer.alloc(100_000)), 1);
        response.on('close', () => clearInterval(flood));
      });
      const error = await failure(
        remote.getPack(ID, (length) => {
          asked += length;
          return into(length);
        }),
      );
      expect(error.kind).toBe('integrity');
      expect(asked).toBeLessThan(18 * 1024 * 1024);
    }
  });

  test('MS-27: more bytes than declared end the transfer', async () => {
    const server = createSocketServer((socket: Socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: ${UNIT}\r\n\r\n`);
        socket.write(Buffer.alloc(UNIT + 5000, 1));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    const remote = remoteAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    // the declared bytes are all that is taken; whether they are the pack's is judged by their hash
    const outcome = await remote.getPack(ID, into).then(
      (bytes) => bytes.length,
      (error: unknown) => (error as AgentError).kind,
    );
    expect([UNIT, 'integrity']).toContain(outcome);
  });

  test('MS-28: a drip stalls, and the download goes on where it was', async () => {
    const pack = randomBytes(4 * UNIT);
    const ranges: (string | undefined)[] = [];
    const remote = await against(
      (request, response) => {
        const { range } = request.headers;
        ranges.push(range);
        const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
        const headers = { 'content-type': 'application/octet-stream', 'content-length': String(pack.length - from) };
        if (range === undefined) response.writeHead(200, headers);
        else
          response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${pack.length - 1}/${pack.length}` });
        if (ranges.length > 1) {
          response.end(pack.subarray(from));
          return;
        }
        response.write(pack.subarray(0, 300_000));
        let at = 300_000;
        const drip = setInterval(() => response.write(pack.subarray(at, ++at)), 100);
        response.on('close', () => clearInterval(drip));
      },
      { stallMs: 400 },
    );
    expect(Buffer.from(await remote.getPack(ID, into)).equals(pack)).toBe(true);
    expect(ranges[0]).toBeUndefined();
    expect(Number(ranges[1]?.slice(6, -1))).toBeGreaterThanOrEqual(300_000);
  });

  test('a range other than the one asked for is refused', async () => {
    let calls = 0;
    const remote = await against((_, response) => {
      calls += 1;
      const type = { 'content-type': 'application/octet-stream' };
      if (calls === 1) {
        response.writeHead(200, { ...type, 'content-length': String(UNIT) });
        response.write(Buffer.alloc(1000), () => response.destroy());
      } else {
        response.writeHead(206, { ...type, 'content-range': `bytes 5-${UNIT - 1}/${UNIT}` });
        response.end(Buffer.alloc(UNIT - 5));
      }
    });
    expect((await failure(remote.getPack(ID, into))).kind).toBe('integrity');
  });

  test.each(CLIENTS)('MS-31: a flood in place of JSON is cut at the cap, declared or not (%s)', async (_, call) => {
    for (const headers of [{}, { 'content-length': String(10 * 1024 ** 3) }]) {
      let written = 0;
      const remote = await against((_, response) => {
        response.writeHead(200, { 'content-type': 'application/json', ...headers });
        const piece = Buffer.alloc(100_000, 0x20);
        const flood = setInterval(() => response.write(piece, () => (written += piece.length)), 1);
        response.on('close', () => clearInterval(flood));
      });
      expect((await failure(call(remote))).kind).toBe('integrity');
      expect(written).toBeLessThan(16 * 1024 * 1024);
    }
  });

  test.each(CLIENTS)('MS-31: huge, deep, malformed or polluting JSON is refused (%s)', async (_, call) => {
    const bodies = [
      '['.repeat(500_000),
      `{"number":"${'x'.repeat(2_000_000)}"}`,
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
      gzipSync('{}'),
      Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
      '{"number":1}',
      '',
    ];
    for (const body of bodies) {
      const remote = await against((_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(body);
      });
      expect(['unreachable', 'integrity']).toContain((await failure(call(remote))).kind);
    }
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test.each(CLIENTS)('MS-40: redirects are never followed (%s)', async (_, call) => {
    let followed = 0;
    const elsewhere = await new Promise<number>((resolve) => {
      const server = createServer((_, response) => {
        followed += 1;
        response.end('{}');
      });
      closing.push(() => server.close());
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
    for (const status of [301, 302, 307, 308]) {
      const remote = await against((_, response) =>
        response.writeHead(status, { location: `http://127.0.0.1:${elsewhere}/v1/account` }).end(),
      );
      expect((await failure(call(remote))).key).toBe('error.redirected');
    }
    expect(followed).toBe(0);
  });

  test('MS-40: plain http beyond loopback is refused before anything is sent', () => {
    for (const url of ['http://safe.example', 'http://192.168.1.4:8787', 'http://127.0.0.1.evil.example'])
      expect(() => new HttpRemote({ url })).toThrow(expect.objectContaining({ kind: 'plain-http' }));
    for (const url of ['https://safe.example', 'http://localhost:8787', 'http://[::1]:1', 'http://127.9.9.9'])
      expect(() => new HttpRemote({ url }).close()).not.toThrow();
  });

  test.each(CLIENTS)(
    'MS-41: texts of an error are made harmless and short, header floods refused (%s)',
    async (_, call) => {
      const title = `\u001b[2J\u001b]0;pwned\u0007\u202e${'x'.repeat(5000)}\r\nSet-Cookie: a=b`;
      const remote = await against((_, response) => problem(response, 403, { code: 'forbidden', title }));
      const { message, params } = await failure(call(remote));
      expect(`${message}${JSON.stringify(params)}`).not.toMatch(/[\p{Cc}\u202e]/u);
      expect(message.length).toBeLessThan(300);
      const flood = await against((_, response) => {
        for (let n = 0; n < 3000; n += 1) response.setHeader(`x-${n}`, 'y'.repeat(20));
        response.end();
      });
      expect((await failure(call(flood))).kind).toBe('integrity');
    },
  );

  test('F-38: a captive portal is told from a Safe', async () => {
    const portal = await against((_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome to Hotel</html>'),
    );
    const calls = [
      () => portal.account(),
      () => portal.devices(),
      () => portal.leanAccount(),
      () => portal.record(asSnapshotId('0'.repeat(64))),
      () => portal.getPack(ID, into),
    ];
    for (const call of calls) expect((await failure(call())).key).toBe('error.not-a-safe');
  });

  test('compressed answers are refused, none are asked for', async () => {
    let asked: unknown;
    const remote = await against((request, response) => {
      asked = request.headers['accept-encoding'];
      response.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-encoding': 'gzip',
        'content-length': String(UNIT),
      });
      response.end(Buffer.alloc(UNIT));
    });
    expect((await failure(remote.getPack(ID, into))).key).toBe('error.not-a-safe');
    expect(asked).toBe('identity');
  });

  test.each(CLIENTS)('cookies are not kept, and every call says who asks (%s)', async (_, call) => {
    const seen: IncomingMessage['headers'][] = [];
    const remote = await against((request, response) => {
      seen.push(request.headers);
      response.writeHead(200, { 'content-type': 'application/json', 'set-cookie': 'id=1' });
      response.end(JSON.stringify(ACCOUNT));
    });
    await call(remote);
    await call(remote);
    expect(seen.map(({ cookie }) => cookie)).toEqual([undefined, undefined]);
    expect(seen[0]).toMatchObject({
      authorization: `Bearer ${'t'.repeat(43)}`,
      'accept-encoding': 'identity',
      'user-agent': 'cresus-safe/0',
      'x-safe-run': expect.stringMatching(/^[0-9a-f]{16}$/),
    });
  });

  test.each(CLIENTS)('the token is in no error (%s)', async (_, call) => {
    const remote = await against((request) => request.socket.destroy(), { totalMs: 100 });
    const error = await failure(call(remote));
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('ttttt');
  });
});
