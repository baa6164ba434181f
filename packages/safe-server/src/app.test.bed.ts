import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from './app.ts';
import { Audit } from './audit/audit.ts';
import { MemoryStore } from './blobs/memory-store.ts';
import type { BlobStore } from './blobs/store.ts';
import { loadConfig } from './config.ts';
import { testDatabase } from './db/database.test.bed.ts';
import { SCHEMA } from './db/entities.ts';
import { type DatabaseAddress, Db } from './db/unit-of-work.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './http/guard.ts';
import { createHttpServer } from './http/server.ts';
import { KeyRing } from './keyring/ring.ts';
import { createLog } from './log.ts';
import { addSubscriber, newCode } from './subscriptions/service.ts';

/** A server for tests: the real application and HTTP server on a database in a temporary folder and a bucket in memory. */
export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly deps: Deps;
  readonly database: DatabaseAddress;
  readonly lifecycle: Lifecycle;
  /** Everything logged so far. */
  readonly logged: () => string;
  /** Moves the server's clock; it stands still otherwise. */
  readonly time: { now: number };
  /** Adds a subscriber and returns the number and a code. */
  subscriber(facts?: { expiresOn?: string }): Promise<{ number: string; code: string }>;
  code(number: string): Promise<string>;
  enrol(code: string, name?: string): Promise<{ deviceId: string; token: string }>;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly token?: string;
  readonly json?: unknown;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body; undefined when it is not JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers
  readonly body: any;
}

/**
 * Starts one. @param settings as in `config.ts`. @param beside another server of the same service, whose database, store, ring
 * and clock it shares; it is closed before that one
 */
export async function startTestServer(
  settings: Record<string, unknown> = {},
  blobs?: BlobStore,
  beside?: TestServer,
): Promise<TestServer> {
  const dir = await mkdtemp(join(tmpdir(), 'safe-server-'));
  const lines: string[] = [];
  const log = createLog({ level: 'trace' }, { write: (line) => void lines.push(line) });
  const time = beside?.time ?? { now: Date.parse('2026-11-24T12:00:00Z') };
  const clock = () => time.now;
  const random = (n: number) => new Uint8Array(randomBytes(n));
  const database = beside?.database ?? testDatabase(join(dir, 'test.sqlite'));
  const db = await Db.open(database, SCHEMA);
  const config = await loadConfig({ dataDir: join(dir, 'data'), ...settings }, {});
  const ring = beside?.deps.ring ?? KeyRing.create(random, time.now);
  const store = blobs ?? beside?.deps.blobs ?? new MemoryStore();
  const deps: Deps = { db, blobs: store, ring, clock, random, log, config, audit: new Audit(db, clock) };
  const lifecycle: Lifecycle = { draining: false };
  const server = createHttpServer(createApp(deps, lifecycle), config);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const call = (method: string, path: string, options: CallOptions = {}) => send(url, method, path, options);
  return {
    url,
    port,
    deps,
    database,
    lifecycle,
    logged: () => lines.join(''),
    time,
    call,
    subscriber: async ({ expiresOn = '2050-12-31' } = {}) => {
      const facts = { name: 'Menuiserie Rochat', email: 'info@rochat.example', language: 'fr' as const };
      const added = await addSubscriber(deps, 'test', { ...facts, number: undefined, expiresOn, quotaBytes: 50e9 });
      return { number: added.subscriber.number, code: added.code };
    },
    code: async (number) => (await newCode(deps, 'test', number)).code,
    enrol: async (code, name = 'PC') => {
      const answer = await call('POST', '/v1/devices', { json: { code, name } });
      if (answer.status !== 201) throw new Error(`enrolment: ${answer.status} ${answer.text}`);
      return answer.body as { deviceId: string; token: string };
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await db.close();
      await rm(dir, { recursive: true });
    },
  };
}

async function send(url: string, method: string, path: string, options: CallOptions): Promise<Answer> {
  const { token, json, body, headers } = options;
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(json !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json !== undefined ? { body: JSON.stringify(json) } : body !== undefined && { body }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson && text ? JSON.parse(text) : undefined,
  };
}
