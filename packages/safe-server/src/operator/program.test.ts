import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { AuditEntity } from '../audit/entity.ts';
import { loadConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { type Running, startServer } from '../serve.ts';
import { openSystem, type System } from '../system.ts';
import { Client } from '../vaults/conversation.test.bed.ts';
import { runProgram } from './program.ts';

// The operators' commands beside a server that runs, as in life.

let dir: string;
let system: System;
let running: Running;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'safe-program-'));
  const config = await loadConfig({ dataDir: join(dir, 'data'), listen: '127.0.0.1:0', drainSeconds: 2 }, {});
  system = await openSystem(config, { log: createLog({ level: 'silent' }), create: true });
  running = await startServer(system);
});
afterEach(async () => {
  await running.stop();
  await rm(dir, { recursive: true });
});

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents
  readonly json: any;
}

async function run(...args: string[]): Promise<Result> {
  let out = '';
  let err = '';
  const code = await runProgram([...args, '--data-dir', join(dir, 'data')], {
    env: { SAFE_LANG: 'en' },
    operator: 'anna',
    random: (n) => new Uint8Array(randomBytes(n)),
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err, json: out.startsWith('{') ? JSON.parse(out) : undefined };
}

const ADD = ['subscriber', 'add', '--name', 'Menuiserie Rochat', '--email', 'info@rochat.example'];

describe('subscriber add', () => {
  it('prints number, name, date and code as one JSON document, and as text', async () => {
    const added = await run(...ADD, '--expires', '2050-12-31', '--json');
    expect(added.code).toBe(0);
    expect(added.json).toMatchObject({ number: '100001', name: 'Menuiserie Rochat', expiresOn: '2050-12-31' });
    expect(added.json.enrolmentCode).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$/);
    const second = await run(...ADD, '--expires', '2050-12-31', '--number', '200123');
    expect(second.out).toMatch(/Subscriber 200123 added: Menuiserie Rochat, until 31.12.2050.\nEnrolment code: /);
    expect((await run(...ADD, '--expires', '2050-12-31', '--json')).json.number).toBe('200124');
  });
  it('its code enrols at the running server', async () => {
    const { json } = await run(...ADD, '--expires', '2050-12-31', '--json');
    const response = await fetch(`${running.url}/v1/devices`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code: json.enrolmentCode, name: 'PC' }),
    });
    expect(response.status).toBe(201);
  });
  it.each([
    ['a date that is none', ['--expires', '2026-02-30'], 'date.invalid', 2],
    ['a number that is none', ['--expires', '2050-12-31', '--number', '0100'], 'number.invalid', 2],
    ['a number like a path', ['--expires', '2050-12-31', '--number', '1/../2'], 'number.invalid', 2],
    ['an address that is none', ['--expires', '2050-12-31', '--email', 'nobody'], 'email.invalid', 2],
    ['a name with a line break', ['--expires', '2050-12-31', '--name', 'a\nb'], 'name.invalid', 2],
    ['TN-45 a quota below nothing', ['--expires', '2050-12-31', '--quota=-1GB'], 'size.invalid', 2],
    ['a quota that is no number', ['--expires', '2050-12-31', '--quota', 'NaN'], 'size.invalid', 2],
    ['an unknown language', ['--expires', '2050-12-31', '--lang', 'rm'], 'usage', 2],
    ['an unknown option', ['--expires', '2050-12-31', '--colour', 'red'], 'usage', 2],
    ['no date', [], 'usage', 2],
  ])('refuses %s', async (_, args, key, code) => {
    const base = ADD.filter((arg) => !args.includes('--email') || !['--email', 'info@rochat.example'].includes(arg));
    const filtered = base.filter((arg) => !args.includes('--name') || !['--name', 'Menuiserie Rochat'].includes(arg));
    const refused = await run(...filtered, ...args, '--json');
    expect(refused.json.error.code).toBe(key);
    expect(refused.json.error.message).not.toBe(key);
    expect(refused.code).toBe(code);
  });
  it('refuses a number twice', async () => {
    await run(...ADD, '--expires', '2050-12-31', '--number', '7');
    const again = await run(...ADD, '--expires', '2050-12-31', '--number', '7');
    expect(again).toMatchObject({ code: 1, err: 'Subscriber 7 exists already.\n', out: '' });
  });
});

describe('subscriber list', () => {
  it('filters combine', async () => {
    const day = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
    for (const [number, expires] of [
      ['1', day(400)],
      ['2', day(30)],
      ['3', day(-5)],
      ['4', day(-100)],
    ] as const)
      await run(...ADD, '--expires', expires, '--number', number);
    await run('subscriber', 'suspend', '2');
    const numbers = async (...filters: string[]) =>
      (await run('subscriber', 'list', ...filters, '--json')).json.subscribers.map(
        ({ number }: { number: string }) => number,
      );
    expect(await numbers()).toEqual(['1', '2', '3', '4']);
    expect(await numbers('--state', 'grace')).toEqual(['3']);
    expect(await numbers('--state', 'read-only')).toEqual(['4']);
    expect(await numbers('--expiring-within', '60d')).toEqual(['2']);
    expect(await numbers('--expiring-within', '60d', '--state', 'active')).toEqual([]);
    expect(await numbers('--expiring-within', '60d', '--state', 'suspended')).toEqual(['2']);
    expect(await numbers('--silent-for', '14d')).toEqual([]);
    expect(await numbers('--silent-for', '0d', '--state', 'active')).toEqual(['1']);
  });
  it('fits into a hundred columns, with names that do not', async () => {
    const long = 'Société fiduciaire romande de comptabilité et de révision des comptes '.repeat(2).trim();
    await run('subscriber', 'add', '--name', long, '--email', 'a@b.example', '--expires', '2050-12-31');
    const { out } = await run('subscriber', 'list');
    for (const line of out.split('\n')) expect([...line].length).toBeLessThanOrEqual(100);
    expect(out).toContain('…');
    expect(out).toContain('31.12.2050');
  });
});

describe('changes', () => {
  it('extend, set, suspend, resume take effect at the running server at once, and are noted', async () => {
    const { json: added } = await run(...ADD, '--expires', '2050-12-31', '--json');
    const { number } = added;
    const client = new Client(running.url, number);
    const enrolled = await client.call('POST', '/v1/devices', { code: added.enrolmentCode, name: 'PC' });
    Object.assign(client, enrolled.json);
    const subscription = async () => (await client.call('GET', '/v1/account')).json['subscription'];
    expect((await run('subscriber', 'suspend', number, '--json')).json.state).toBe('suspended');
    expect(await subscription()).toMatchObject({ state: 'suspended', maySend: false, mayRestore: true });
    expect((await run('subscriber', 'resume', number)).out).toBe(`Subscriber ${number}: active, until 31.12.2050.\n`);
    await run('subscriber', 'extend', number, '--until', '2020-01-31');
    expect(await subscription()).toMatchObject({ state: 'read-only', expiresOn: '2020-01-31' });
    await run('subscriber', 'set', number, '--name', 'Rochat SA', '--lang', 'de', '--quota', '1.5GB');
    const { json } = await run('subscriber', 'show', number, '--json');
    expect(json).toMatchObject({ name: 'Rochat SA', lang: 'de', quotaBytes: 1.5e9, devices: [{ name: 'PC' }] });
    await run('subscriber', 'set', number, '--quota', '9GB', '--quota-until', '2050-01-01');
    expect((await client.call('GET', '/v1/account')).json['quota']).toMatchObject({ bytes: 9e9 });
    const rows = await system.deps.db.read((manager) => manager.find(AuditEntity, { order: { id: 'ASC' } }));
    const noted = rows.filter(({ actor }) => actor === 'operator:anna').map(({ operation }) => operation);
    expect(noted).toEqual([
      'subscriber-add',
      'subscriber-suspend',
      'subscriber-resume',
      'subscriber-extend',
      'subscriber-set',
      'subscriber-set',
    ]);
    for (const version of [1, 2, 3, 4, 5, 6])
      expect(await system.deps.blobs.stat(`a/${number}/${version}`)).toBeDefined();
  });
  it('an unknown subscriber is exit code 14; nothing to change is a wrong command', async () => {
    expect((await run('subscriber', 'suspend', '9')).code).toBe(14);
    expect((await run('subscriber', 'show', '9')).code).toBe(14);
    await run(...ADD, '--expires', '2050-12-31', '--number', '9');
    expect((await run('subscriber', 'set', '9')).code).toBe(2);
    expect((await run('subscriber', 'set', '9', '--quota-until', '2050-01-01')).code).toBe(2);
  });
  it('twenty commands at once lose nothing', async () => {
    await run(...ADD, '--expires', '2050-12-31', '--number', '5');
    const codes = await Promise.all(Array.from({ length: 20 }, () => run('subscriber', 'code', '5', '--json')));
    expect(codes.map(({ code }) => code)).toEqual(Array(20).fill(0));
    expect(new Set(codes.map(({ json }) => json.enrolmentCode)).size).toBe(20);
  }, 60_000);
});

describe('device', () => {
  it('list and revoke: the token is refused from then on', async () => {
    const { json: added } = await run(...ADD, '--expires', '2050-12-31', '--json');
    const client = new Client(running.url, added.number);
    const name = '\u001b[31mPC';
    expect((await client.call('POST', '/v1/devices', { code: added.enrolmentCode, name })).status).toBe(400);
    const long = 'x'.repeat(100);
    const enrolled = await client.call('POST', '/v1/devices', { code: added.enrolmentCode, name: long });
    Object.assign(client, enrolled.json);
    const listed = await run('device', 'list', added.number);
    expect(listed.out).toContain(client.deviceId);
    for (const line of listed.out.split('\n')) expect([...line].length).toBeLessThanOrEqual(100);
    expect((await run('device', 'revoke', client.deviceId, '--json')).json).toMatchObject({
      deviceId: client.deviceId,
    });
    expect((await client.call('GET', '/v1/account')).status).toBe(401);
    expect((await run('device', 'revoke', client.deviceId)).code).toBe(14);
    expect((await run('device', 'list', '--json')).json.devices[0].state).toBe('revoked');
    expect(await system.deps.blobs.stat(`a/${added.number}/d/${client.deviceId}/2`)).toBeDefined();
  });
});

describe('keys', () => {
  const ring = () => join(dir, 'data.keys.json');
  it('create never replaces a ring', async () => {
    expect((await run('keys', 'create', '--json')).json.error.code).toBe('keys.exists');
    const fresh = await run('keys', 'create', '--keys', join(dir, 'other.json'), '--json');
    expect(fresh.json).toMatchObject({ file: join(dir, 'other.json') });
  });
  it('verify opens what is stored; with the copy kept elsewhere it is confirmed', async () => {
    await run(...ADD, '--expires', '2050-12-31');
    expect((await run('keys', 'verify', '--json')).json).toMatchObject({ opened: 1, confirmed: false });
    expect((await run('keys', 'verify', ring())).code).toBe(2);
    expect((await run('keys', 'verify', join(dir, 'nowhere'))).code).toBe(14);
    await run('keys', 'create', '--keys', join(dir, 'other.json'));
    expect((await run('keys', 'verify', join(dir, 'other.json'), '--json')).json.error.code).toBe('keys.differs');
    await copyFile(ring(), join(dir, 'copy.json'));
    expect((await run('keys', 'verify', join(dir, 'copy.json'), '--json')).json.confirmed).toBe(true);
    expect((await run('keys', 'verify', '--json')).json.confirmed).toBe(true);
  });
});

describe('verify-store', () => {
  /** Without data folder, database or keys: only the store is there. */
  async function verify(args: string[], env = {}): Promise<Result> {
    let out = '';
    let err = '';
    const code = await runProgram(['verify-store', ...args], {
      env: { SAFE_DATA_DIR: join(dir, 'none'), SAFE_LANG: 'en', ...env },
      operator: 'anna',
      random: (n) => new Uint8Array(randomBytes(n)),
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
    });
    return { code, out, err, json: out.startsWith('{') ? JSON.parse(out) : undefined };
  }
  it('tells of each property whether the store has it, and needs the store alone', async () => {
    const store = join(dir, 'store');
    await mkdir(store);
    const verified = await verify(['--blobs', `file:${store}`, '--json']);
    expect(verified).toMatchObject({ code: 0, err: '', json: { store: `file:${store}`, ok: true, leftBehind: 0 } });
    const { checks, latencyMs } = verified.json;
    expect(checks.find(({ name }: { name: string }) => name === 'whole')).toEqual({
      name: 'whole',
      need: 'needed',
      result: 'passed',
      meaning: 'The store damages what it is given: no restore would be safe.',
    });
    expect(Object.keys(latencyMs)).toEqual(['put', 'get', 'stat', 'delete']);
    const { out } = await verify(['--blobs', `file:${store}`]);
    expect(out).toMatch(/An object is never replaced +needed +yes\n/);
    expect(out).toMatch(/This store is fit.\n$/);
    for (const line of out.split('\n')) expect([...line].length).toBeLessThanOrEqual(100);
    expect((await readdir(dir)).sort()).toEqual(['data', 'data.keys.json', 'store']);
    expect(await readdir(join(store, 'probe'))).toEqual([]);
  });
  it('a folder that takes nothing fails by name, in a hundred columns', async () => {
    const store = join(dir, 'store');
    await mkdir(store);
    await writeFile(join(store, 'probe'), 'a file where a folder must be');
    for (const lang of ['fr', 'de', 'it', 'en']) {
      const { code, out, err } = await verify(['--blobs', `file:${store}`, '--lang', lang]);
      expect(code).toBe(1);
      expect(err).toContain('whole, range, stat');
      expect(out).toContain('ENOTDIR');
      for (const line of out.split('\n')) expect([...line].length).toBeLessThanOrEqual(100);
    }
    const { code, json, err } = await verify(['--blobs', `file:${store}`, '--json']);
    expect([code, json.ok, err]).toEqual([1, false, '']);
  });
  it('a folder that is not there is not made; a store that does not answer is named', async () => {
    const missing = await verify(['--blobs', `file:${join(dir, 'mistyped')}`]);
    expect(missing).toMatchObject({ code: 14, out: '' });
    expect(missing.err).toMatch(/mistyped does not exist/);
    expect(await readdir(dir)).not.toContain('mistyped');
    await writeFile(join(dir, 'key'), 'geheim\n');
    const files = { SAFE_S3_ACCESS_KEY_FILE: join(dir, 'key'), SAFE_S3_SECRET_FILE: join(dir, 'key') };
    const dead = await verify(['--blobs', 's3://bucket/prefix?endpoint=http://127.0.0.1:1', '--json'], files);
    expect(dead).toMatchObject({ code: 1, json: { error: { code: 'store.unreachable' } } });
    expect(dead.json.error.message).toMatch(/bucket.*ECONNREFUSED/);
    expect(dead.out).not.toMatch(/geheim/);
  }, 60_000);
});

describe('the program', () => {
  it('config show prints the configuration', async () => {
    const { json } = await run('config', 'show', '--listen', '127.0.0.1:9', '--json');
    expect(json.error.code).toBe('usage');
    expect((await run('config', 'show', '--json')).json).toMatchObject({ port: 8787, dataDir: join(dir, 'data') });
  });
  it.each([
    ['a database', ['--database', 'mysql://localhost/x']],
    ['PostgreSQL without a database', ['--database', 'postgres://localhost']],
    ['a store', ['--blobs', 'gs://bucket/prefix']],
  ])('%s of another kind is refused', async (_, flags) => {
    const refused = await run('subscriber', 'list', ...flags);
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(/this version supports/);
  });
  it('a database that cannot be reached is named, its password never', async () => {
    const refused = await run('subscriber', 'list', '--database', 'postgres://app:geheim@127.0.0.1:1/x');
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/ECONNREFUSED/);
    expect(refused.err).not.toMatch(/geheim/);
  });
  it('a mistyped folder makes nothing', async () => {
    const code = await runProgram(['subscriber', 'list', '--data-dir', join(dir, 'dtaa'), '--json'], {
      env: {},
      operator: 'anna',
      random: () => new Uint8Array(),
      out: () => undefined,
      err: () => undefined,
    });
    expect(code).toBe(14);
  });
  it('no command, and an unknown one, are usage errors', async () => {
    expect((await run()).code).toBe(2);
    expect((await run('subscribers')).code).toBe(2);
  });
});
