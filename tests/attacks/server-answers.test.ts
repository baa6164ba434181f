import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import type { PackId } from '@cresus-safe/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type Answer, type AnswerHook, drip, endless, json, problem, redirect } from '../support/hostile.ts';
import { noise } from '../support/noise.ts';
import { Victim } from '../support/victim.ts';

jest.setTimeout(300_000); // dozens of processes, on a busy machine too

let victim: Victim;
let sent: string;

beforeAll(async () => {
  victim = await Victim.create((books) => {
    mkdirSync(books);
    writeFileSync(join(books, 'comptabilite.cre'), noise('books', 300_000));
  });
  sent = await victim.send();
});
afterEach(() => victim.line.reset());
afterAll(() => victim[Symbol.asyncDispose]());

const sending = ['send', 'Dupont SA'];
const restoring = () => ['restore', 'Dupont SA', '--snapshot', 'latest', '--to', victim.target()];
const BINARY = { 'content-type': 'application/octet-stream' };
const JSON_TYPE = { 'content-type': 'application/json' };
const isPack = (path: string): boolean => path.startsWith('/v1/packs/');

/** Answers a GET of a path that begins so. */
const answering =
  (start: string, make: (honest: Answer & { body: Buffer }) => Answer): AnswerHook =>
  ({ method, path }, honest) =>
    method === 'GET' && path.startsWith(start) ? make(honest) : undefined;

/** The first `fast` bytes of a pack, then one five times a second. */
async function drips(socket: Socket, body: Buffer, fast: number): Promise<void> {
  const lines = ['HTTP/1.1 200 OK', `content-type: ${BINARY['content-type']}`, `content-length: ${body.length}`];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  socket.write(body.subarray(0, fast));
  for await (const byte of drip(body.subarray(fast), 1, 200)) {
    if (socket.destroyed) return;
    socket.write(byte);
  }
}

describe('answers that exhaust', () => {
  it('MS-27 bodies without end, or with a length that no such answer has, are cut off at once', async () => {
    let given = 0;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const piece of endless()) {
        given += piece.length;
        yield piece;
      }
    }
    const huge = { status: 200, headers: BINARY, body: Buffer.alloc(1000), declaredLength: 10 * 1024 ** 3 };
    const cases: [AnswerHook, string[], number][] = [
      [answering('/v1/packs/', () => ({ status: 200, headers: BINARY, body: counted() })), restoring(), 24],
      [answering('/v1/packs/', () => huge), restoring(), 1],
      [answering('/v1/journal', () => ({ status: 200, headers: BINARY, body: counted() })), sending, 48],
      [answering('/v1/vault', () => ({ status: 200, headers: JSON_TYPE, body: counted() })), sending, 16],
    ];
    for (const [onAnswer, args, mebibytes] of cases) {
      given = 0;
      await victim.repels({ onAnswer }, args, [10, 'integrity']);
      expect(given).toBeLessThan(mebibytes * 1024 * 1024);
    }
    await victim.restores(sent);
  });

  it('MS-28 a pack that drips stalls, and the download goes on where it was', async () => {
    const ranges: (string | undefined)[] = [];
    const { vault, remote } = await victim.engine(victim.agent, 500);
    victim.lies({
      onAnswer: ({ path, headers }, { body }) => {
        if (!isPack(path)) return undefined;
        ranges.push(headers.range);
        if (ranges.length > 1) return undefined;
        return { raw: (socket) => drips(socket, body, 200_000) };
      },
    });
    const packId = (await vault.record(vault.snapshots().at(-1)?.id as never)).packs[0]?.packId as PackId;
    const bytes = await remote.getPack(packId, (length) => new Uint8Array(length));
    remote.close();
    expect(bytes.length % (256 * 1024)).toBe(0);
    expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=2\d{5}-$/)]);
  });

  it('MS-31 huge, deep, malformed or polluting JSON is no answer of a Safe', async () => {
    const bodies = [
      '['.repeat(400_000),
      '{"__proto__":{"polluted":1}}',
      Buffer.from([0x7b, 0xff, 0xfe, 0x7d]),
      '',
      'null',
    ];
    for (const body of bodies) {
      const lie = { status: 200, headers: JSON_TYPE, body: Buffer.from(body) };
      await victim.repels({ onAnswer: answering('/v1/vault', () => lie) }, sending, [9, 'unreachable']);
    }
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});

describe('answers that lead elsewhere', () => {
  it('MS-40 MS-43 redirects are not followed, to another host nor to this one, whatever the call', async () => {
    let visits = 0;
    const elsewhere = createServer((_, response) => {
      visits += 1;
      response.end('{}');
    });
    await new Promise<void>((listening) => elsewhere.listen(0, '127.0.0.1', listening));
    const { port } = elsewhere.address() as AddressInfo;
    const cases: [string, string, number, string[]][] = [
      ['/v1/vault', `http://127.0.0.1:${port}/v1/vault`, 301, sending],
      ['/v1/journal', `http://localhost:${port}/`, 307, sending],
      ['/v1/packs/', `//127.0.0.1:${port}/`, 308, restoring()],
      ['/v1/account', `${victim.line.url}/v1/devices`, 302, sending],
    ];
    for (const [start, location, status, args] of cases) {
      const asked: string[] = [];
      const onRequest = ({ path }: { path: string }): undefined => void asked.push(path);
      await victim.repels({ onRequest, onAnswer: answering(start, () => redirect(location, status)) }, args, [
        9,
        'unreachable',
      ]);
      expect(asked).not.toContain('/v1/devices');
    }
    await new Promise((closed) => elsewhere.close(closed));
    expect(visits).toBe(0);
    await victim.restores(sent);
  });
});

describe('answers that speak to the user', () => {
  it('MS-41 control characters, markup and cookies of a server reach neither the terminal nor the next request', async () => {
    const evil = `\u001b[2J\u001b]0;pwned\u0007\u202e<b>${'x'.repeat(5000)}\r\nX: y`;
    const cookie = { 'set-cookie': 'session=evil; Path=/' };
    victim.lies({
      onAnswer: ({ path }, answer) =>
        path === '/v1/account'
          ? {
              ...problem(403, 'forbidden', { title: evil, detail: evil }),
              headers: { 'content-type': 'application/problem+json', ...cookie },
            }
          : { ...answer, headers: { ...answer.headers, ...cookie } },
    });
    const { code, stdout, stderr } = await victim.agent.run(sending);
    const cookies = victim.line.exchanges.map(({ asked }) => asked.headers.cookie);
    victim.line.reset();
    expect([code, stdout]).toEqual([9, '']);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must not reach a terminal
    expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(stderr.length).toBeLessThan(1500);
    expect(new Set(cookies)).toEqual(new Set([undefined]));
    const flood = Object.fromEntries(Array.from({ length: 1500 }, (_, n) => [`x-${n}`, 'y'.repeat(20)]));
    const lie = answering('/v1/vault', (honest) => ({ ...honest, headers: { ...honest.headers, ...flood } }));
    await victim.repels({ onAnswer: lie }, sending, [10, 'integrity']);
  });

  it('MS-42 MS-43 MS-44 no setting, clock, date or update of a server changes what the agent does', async () => {
    const wishes = {
      settings: { verify: false, logLevel: 'trace', exclude: ['**'], chunkSize: 1, allDays: 0 },
      verify: false,
      update: { version: '99.0.0', url: `${victim.line.url}/update.tgz` },
      deleteAll: true,
    };
    for (const [year, date] of [
      ['1970-01-01', 'Thu, 01 Jan 1970 00:00:00 GMT'],
      ['2999-12-31', 'Tue, 31 Dec 2999 00:00:00 GMT'],
    ]) {
      const headers = { date, 'x-safe-settings': JSON.stringify(wishes) };
      victim.lies({
        onAnswer: ({ path }, answer) => {
          const told = { ...answer, headers: { ...answer.headers, ...headers } };
          if (!String(answer.headers['content-type']).includes('json') || answer.body.length === 0) return told;
          const honest = JSON.parse(answer.body.toString()) as Record<string, object>;
          const subscription = { ...honest['subscription'], expiresOn: year, graceUntil: year, readOnlyUntil: year };
          const account = path === '/v1/account' ? { subscription, serverTime: Date.parse(`${year}`) } : {};
          return { ...told, ...json({ ...honest, ...wishes, ...account }, answer.status) };
        },
      });
      writeFileSync(join(victim.books, 'jour.txt'), String(year));
      const files = victim.userFiles();
      expect(await victim.agent.send('Dupont SA')).toMatchObject({ unchanged: false, files: 2 });
      expect(victim.userFiles()).toEqual(files);
      const paths = victim.line.exchanges.map(({ asked }) => asked.path);
      expect(paths.filter((path) => !path.startsWith('/v1/'))).toEqual([]);
      expect(victim.line.exchanges.filter(({ asked }) => asked.method === 'DELETE')).toEqual([]);
    }
    victim.line.reset();
    rmSync(sent, { recursive: true });
    sent = await victim.send();
    await victim.restores(sent);
  });

  it('MS-42 nor do they switch off that what was fetched is verified', async () => {
    const lie = answering('/v1/packs/', ({ status, headers, body }) => {
      const changed = Buffer.from(body);
      changed[5_000] = (changed[5_000] as number) ^ 1;
      return { status, headers: { ...headers, 'x-safe-verify': 'off' }, body: changed };
    });
    await victim.repels({ onAnswer: lie }, restoring(), [10, 'integrity']);
  });
});
