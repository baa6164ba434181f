import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeBooks, workOneDay } from './books.ts';
import { differences, sizeOf } from './compare.ts';
import { faultEnv, faultsMet, lacksFaults, lacksProgram, lacksSmallDisk, SmallDisk, testWith } from './faults.ts';
import { drip, drop, endless, flipped, HostileServer, redirect } from './hostile.ts';
import { run } from './process.ts';
import { BadLine } from './tcp-proxy.ts';
import { zipOf } from './zip.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'cresus-safe-support-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('books', () => {
  it('makes the same mandate twice, and the same day', () => {
    for (const name of ['once', 'twice']) {
      makeBooks(join(dir, name), { scale: 0.01 });
      workOneDay(join(dir, name), 1, { scale: 0.01 });
    }
    expect(differences(join(dir, 'once'), join(dir, 'twice'), { times: false })).toEqual([]);
    expect(sizeOf(join(dir, 'once')).bytes).toBeGreaterThan(2_000_000);
  });

  it('changes in a day what a working day changes', () => {
    makeBooks(join(dir, 'day'), { scale: 0.01 });
    const count = (): unknown => {
      const db = new DatabaseSync(join(dir, 'day/comptabilite.cre'));
      const row = db.prepare('select count(*) as n from ecritures').get();
      db.close();
      return row?.['n'];
    };
    expect(count()).toBe(9_000);
    workOneDay(join(dir, 'day'), 1, { scale: 0.01 });
    expect(count()).toBe(9_200);
    expect(readdirSync(join(dir, 'day')).sort()).toEqual([
      'comptabilite.cre',
      'documents',
      'facturation.fac',
      'salaires.salx',
    ]);
    expect(readdirSync(join(dir, 'day/documents'))).toHaveLength(8);
  });

  testWith(lacksProgram('python3'))('writes a payroll file that any unzip reads', () => {
    writeFileSync(join(dir, 'a.zip'), zipOf('salaires.xml', Buffer.from('<salaires/>'.repeat(100))));
    const script = 'import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).read("salaires.xml").decode(), end="")';
    expect(execFileSync('python3', ['-c', script, join(dir, 'a.zip')], { encoding: 'utf8' })).toBe(
      '<salaires/>'.repeat(100),
    );
  });
});

describe('comparing folders', () => {
  it('sees every kind of difference', () => {
    for (const side of ['left', 'right']) {
      mkdirSync(join(dir, side));
      for (const name of ['same', 'content', 'mode', 'time']) writeFileSync(join(dir, side, name), 'x');
      symlinkSync(side, join(dir, side, 'link'));
      writeFileSync(join(dir, side, `only-${side}`), '');
      mkdirSync(join(dir, side, 'folder'));
      for (const name of readdirSync(join(dir, side))) if (name !== 'link') utimesSync(join(dir, side, name), 1, 1);
    }
    writeFileSync(join(dir, 'right/content'), 'y');
    utimesSync(join(dir, 'right/content'), 1, 1);
    chmodSync(join(dir, 'right/mode'), 0o600);
    utimesSync(join(dir, 'right/time'), 1, 1.0000015);
    const found = differences(join(dir, 'left'), join(dir, 'right')).map((line) => line.split(':')[0]);
    expect(found).toEqual(['content', 'link', 'mode', 'only-left', 'only-right', 'time']);
    expect(differences(join(dir, 'left'), join(dir, 'left'))).toEqual([]);
  });
});

describe('between agent and server', () => {
  let origin: Server;
  let url: string;
  let received = '';
  beforeAll(async () => {
    origin = createServer((request, response) => {
      received = '';
      request.on('data', (piece) => {
        received += String(piece);
      });
      request.on('end', () => response.setHeader('x-origin', 'yes').end(request.method === 'HEAD' ? '' : 'honest'));
    });
    await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    origin.close();
  });

  it('the hostile server is honest until told otherwise, and records all of it', async () => {
    await using hostile = await HostileServer.before(url);
    const answer = await fetch(`${hostile.url}/v1/x?y=1`, { method: 'POST', body: 'hello' });
    expect([await answer.text(), answer.headers.get('x-origin'), received]).toEqual(['honest', 'yes', 'hello']);
    expect(hostile.exchanges.map(({ asked }) => `${asked.method} ${asked.path} ${asked.body}`)).toEqual([
      'POST /v1/x?y=1 hello',
    ]);
    expect((await fetch(hostile.url, { method: 'HEAD' })).status).toBe(200);
  });

  it('the hostile server changes, cuts, drips, redirects and never ends', async () => {
    await using hostile = await HostileServer.before(url);
    hostile.onAnswer = (_, answer) => ({ ...answer, body: flipped(answer.body, 0) });
    expect(await (await fetch(hostile.url)).text()).toBe('ionest');
    hostile.onAnswer = (_, { body }) => drop({ body, after: 3 });
    await expect(fetch(hostile.url).then((answer) => answer.text())).rejects.toThrow();
    hostile.onAnswer = () => drop();
    await expect(fetch(hostile.url)).rejects.toThrow();
    hostile.onAnswer = (_, answer) => ({ ...answer, body: drip(answer.body, 1, 5) });
    expect(await (await fetch(hostile.url)).text()).toBe('honest');
    hostile.onRequest = () => redirect('http://127.0.0.1:1/');
    expect((await fetch(hostile.url, { redirect: 'manual' })).status).toBe(307);
    hostile.onRequest = () => ({ status: 200, headers: {}, body: endless() });
    const reader = (await fetch(hostile.url)).body?.getReader();
    let bytes = 0;
    while (bytes < 5_000_000) bytes += (await reader?.read())?.value?.length ?? Number.NaN;
    await reader?.cancel();
  });

  it('a hook that breaks is not taken for an attack that was repelled', async () => {
    const hostile = await HostileServer.before(url);
    hostile.onAnswer = (_, answer) => ({ ...answer, body: flipped(answer.body, 99) });
    await expect(fetch(hostile.url)).rejects.toThrow();
    await expect(hostile[Symbol.asyncDispose]()).rejects.toThrow('no byte at 99');
  });

  it('a bad line carries, cuts after the request, slows down, refuses and comes back', async () => {
    await using line = await BadLine.to(url);
    const ask = async (): Promise<string> => {
      const answer = await fetch(line.url, { method: 'POST', body: 'once', headers: { connection: 'close' } });
      return await answer.text();
    };
    expect(await ask()).toBe('honest');
    expect(line.carried.up).toBeGreaterThan(50);
    received = '';
    line.set({ cut: { way: 'down', after: 0, times: 1 } });
    await expect(ask()).rejects.toThrow();
    expect([received, line.carried.cut]).toEqual(['once', 1]); // done, though nobody heard the answer
    line.set({ latencyMs: 60 });
    const begun = performance.now();
    expect(await ask()).toBe('honest');
    expect(performance.now() - begun).toBeGreaterThan(100);
    await line.refuse();
    await expect(ask()).rejects.toThrow();
    await line.accept();
    line.set({});
    expect(await ask()).toBe('honest');
  });

  it('a hanging line lets nothing through until it is mended', async () => {
    await using line = await BadLine.to(url);
    line.set({ hang: 'down' });
    const asked = fetch(line.url).then((answer) => answer.text());
    const first = await Promise.race([asked, new Promise((resume) => setTimeout(resume, 200, 'nothing yet'))]);
    expect(first).toBe('nothing yet');
    line.set({});
    expect(await asked).toBe('honest');
  });
});

describe('faults of the disk', () => {
  testWith(lacksSmallDisk())('a small disk fills up, grows, and turns read-only', async () => {
    await using disk = await SmallDisk.over(join(dir, 'small'), '1m');
    const write = (name: string) =>
      run([process.execPath, '-e', `fs.writeFileSync(${JSON.stringify(join(disk.dir, name))}, Buffer.alloc(2e6))`], {
        wrap: disk.wrap,
      });
    expect((await write('a')).stderr).toContain('ENOSPC');
    disk.resize('4m');
    expect((await write('a')).code).toBe(0);
    expect([existsSync(join(disk.outside, 'a')), existsSync(join(disk.dir, 'a'))]).toEqual([true, false]);
    disk.setReadOnly(true);
    expect((await write('b')).stderr).toContain('EROFS');
  });

  testWith(lacksFaults())('the n-th call fails, below one folder only, and the test can tell', async () => {
    mkdirSync(join(dir, 'faulty'));
    const log = join(dir, 'faults.log');
    const program = `for (const name of ['a', 'b', 'c']) fs.writeFileSync(${JSON.stringify(join(dir, 'faulty'))} + '/' + name, name);
      fs.writeFileSync(${JSON.stringify(join(dir, 'elsewhere'))}, 'x')`;
    const below = join(dir, 'faulty');
    const failing = { below, calls: ['write'], error: 'EIO', at: 2, log } as const;
    const finished = await run([process.execPath, '-e', program], { env: faultEnv(failing) });
    expect(finished.stderr).toContain('EIO');
    expect(faultsMet(log)).toEqual([`write ${join(below, 'b')}`]);
    expect(readFileSync(join(below, 'a'), 'utf8')).toBe('a');
    for (const call of ['open', 'sync', 'rename', 'mkdir', 'unlink'] as const) {
      const each = `const p = ${JSON.stringify(below)}; const f = fs.openSync(p + '/new', 'w'); fs.fsyncSync(f);
        fs.renameSync(p + '/new', p + '/newer'); fs.mkdirSync(p + '/${call}'); fs.unlinkSync(p + '/newer')`;
      const env = faultEnv({ below, calls: [call], error: 'EROFS' });
      expect((await run([process.execPath, '-e', each], { env })).stderr).toContain('EROFS');
    }
  });
});
