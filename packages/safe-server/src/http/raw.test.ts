import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestServer, type TestServer } from '../app.test.bed.ts';

// What fetch cannot say: broken HTTP, written byte by byte.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ headerSeconds: 1, stallSeconds: 1, minBytesPerSecond: 1000 });
});
afterAll(() => server.close());

async function open(): Promise<{ socket: Socket; answer: () => Promise<string> }> {
  const socket = connect(server.port, '127.0.0.1');
  let received = '';
  socket.on('data', (piece) => {
    received += piece.toString('latin1');
  });
  socket.on('error', () => undefined); // a reset after the answer is one way to close
  await once(socket, 'connect');
  return {
    socket,
    answer: async () => {
      if (!socket.closed) await once(socket, 'close');
      return received;
    },
  };
}

async function exchange(text: string): Promise<string> {
  const { socket, answer } = await open();
  socket.write(text);
  return await answer();
}

const statusOf = (answer: string) => Number(answer.slice(9, 12));
const problemOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { code: string };
const POST = 'POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';

describe('TN-12 a body that stalls', () => {
  it('is answered 408 and the connection closes', async () => {
    const { socket, answer } = await open();
    socket.write(`${POST}Content-Length: 100\r\n\r\n{"code"`);
    const text = await answer();
    expect(statusOf(text)).toBe(408);
    expect(problemOf(text).code).toBe('timeout');
  }, 15_000);

  it('that drips a byte now and then is too slow as well', async () => {
    const { socket, answer } = await open();
    socket.write(`${POST}Content-Length: 100\r\n\r\n`);
    const drip = setInterval(() => socket.write(' '), 100);
    expect(statusOf(await answer())).toBe(408);
    clearInterval(drip);
  }, 15_000);

  it('but a slow one that keeps the pace succeeds, however long it takes', async () => {
    const { socket, answer } = await open();
    const json = JSON.stringify({ code: 'x'.repeat(50), name: 'PC' }).padEnd(4000);
    socket.write(`${POST}Connection: close\r\nContent-Length: ${json.length}\r\n\r\n`);
    for (let at = 0; at < json.length; at += 400) {
      socket.write(json.slice(at, at + 400));
      await sleep(250); // 1.6 kB/s over 2.5 s, where a stall of 1 s ends a transfer
    }
    expect(problemOf(await answer()).code).toBe('code-refused');
  }, 15_000);
});

describe('TN-13 slowloris', () => {
  it('headers that do not end are answered 408', async () => {
    const { socket, answer } = await open();
    socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(() => socket.write('X-A: b\r\n'), 200);
    expect(statusOf(await answer())).toBe(408);
    clearInterval(drip);
  }, 15_000);

  it('a connection that says nothing at all is closed', async () => {
    const { answer } = await open();
    expect(statusOf(await answer())).toBe(408);
  }, 15_000);

  it('two hundred such connections do not hold up an honest request', async () => {
    const sockets = await Promise.all(Array.from({ length: 200 }, open));
    for (const { socket } of sockets) socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\nX-');
    const start = performance.now();
    expect((await server.call('GET', '/health/live')).status).toBe(200);
    expect(performance.now() - start).toBeLessThan(10_000);
    for (const { socket } of sockets) socket.destroy();
  }, 30_000);
});

describe('TN-14 ambiguous or broken HTTP is answered 400', () => {
  it.each([
    ['Content-Length and Transfer-Encoding', `${POST}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['two Content-Lengths', `${POST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
    ['a space before the colon', 'GET /health/live HTTP/1.1\r\nHost : x\r\n\r\n'],
    ['a bad chunk', `${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`],
    ['no Host', 'GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n'],
    ['a version that does not exist', 'GET /health/live HTTP/9.9\r\n\r\n'],
  ])('%s', async (_, text) => {
    const answer = await exchange(text);
    expect(statusOf(answer)).toBe(400);
    expect(answer).toContain('application/problem+json');
  });
});

describe('TN-15 headers without measure are answered 431', () => {
  it('more than 16 KiB', async () => {
    const answer = await exchange(`GET /health/live HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`);
    expect(statusOf(answer)).toBe(431);
    expect(problemOf(answer).code).toBe('header-too-large');
  });
  it('more than a hundred', async () => {
    const many = Array.from({ length: 101 }, (_, index) => `X-${index}: a\r\n`).join('');
    const answer = await exchange(`GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${many}\r\n`);
    expect(statusOf(answer)).toBe(431);
  });
});

describe('TN-48 methods that HTTP knows and we do not', () => {
  it.each(['TRACE', 'OPTIONS', 'PATCH', 'CONNECT', 'BREW'])('%s is answered 405', async (method) => {
    const answer = await exchange(`${method} /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(statusOf(answer)).toBe(405);
    expect(answer.toLowerCase()).toContain('allow: ');
  });
});

describe('TN-11 a body beyond its limit', () => {
  it('is refused by its Content-Length before it is sent', async () => {
    const answer = await exchange(`${POST}Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n`);
    expect(statusOf(answer)).toBe(413);
    expect(answer).not.toContain('100 Continue');
  });
  it('is refused where a chunked one crosses it, and the connection closes', async () => {
    const chunk = `1000\r\n${' '.repeat(4096)}\r\n`;
    const answer = await exchange(`${POST}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(20)}`);
    expect(statusOf(answer)).toBe(413);
    expect(answer.toLowerCase()).toContain('connection: close');
  });
  it('one that may be sent is asked for', async () => {
    const { socket, answer } = await open();
    socket.write(`${POST}Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n`);
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(first.toString()).toContain('100 Continue');
    socket.write('{}');
    expect(await answer()).toContain('"code":"invalid"');
  });
});
