import { ROUTES } from '@cresus-safe/protocol/http';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DeviceEntity } from '../accounts/entities.ts';
import { mirrorChanges } from '../accounts/mirror.ts';
import { startTestServer, type TestServer } from '../app.test.bed.ts';
import { MemoryStore } from '../blobs/memory-store.ts';
import type { BlobStore } from '../blobs/store.ts';
import { Client } from '../vaults/conversation.test.bed.ts';

/** A bucket that can be made to fail, with a message that must not get out. */
class FragileStore extends MemoryStore {
  failure: Error | undefined;

  override async put(...args: Parameters<BlobStore['put']>): ReturnType<BlobStore['put']> {
    if (this.failure) throw this.failure;
    return await super.put(...args);
  }

  override async stat(key: string): ReturnType<BlobStore['stat']> {
    if (this.failure) throw this.failure;
    return await super.stat(key);
  }
}

const SECRET_MESSAGE = 'EIO: /srv/safe-data/blobs, SELECT token_hash FROM device';
let server: TestServer;
let store: FragileStore;
let client: Client;
beforeEach(async () => {
  store = new FragileStore();
  server = await startTestServer({}, store);
  const { number, code } = await server.subscriber();
  client = Object.assign(new Client(server.url, number), await server.enrol(code));
  await client.createVault();
});
afterEach(() => server.close());

describe('F-45 what was not foreseen', () => {
  it('is a 500 that says nothing of the inside, is logged, and leaves the others alone', async () => {
    store.failure = new Error(SECRET_MESSAGE);
    const answer = await client.append(client.snapshot([]));
    expect(answer.status).toBe(500);
    expect(answer.bytes.toString()).toBe(
      '{"type":"urn:cresus-safe:problem:internal","title":"The server failed","status":500,"code":"internal"}',
    );
    expect(server.logged()).toContain(SECRET_MESSAGE);
    expect((await client.call('GET', ROUTES.account)).status).toBe(200);
  });
  it('F-25 a full disk is 503 with Retry-After', async () => {
    store.failure = Object.assign(new Error(SECRET_MESSAGE), { code: 'ENOSPC' });
    const answer = await client.append(client.snapshot([]));
    expect(answer.json['code']).toBe('storage-full');
    expect(answer.headers.get('retry-after')).toBe('60');
    expect(answer.bytes.toString()).not.toContain('/srv');
  });
});

describe('a bucket that is away', () => {
  it('makes the server unready, but it lives', async () => {
    store.failure = new Error(SECRET_MESSAGE);
    expect((await server.call('GET', ROUTES.ready)).status).toBe(503);
    expect((await server.call('GET', ROUTES.live)).status).toBe(200);
  });
  it('does not stop an enrolment: its object follows later', async () => {
    store.failure = new Error(SECRET_MESSAGE);
    const { deviceId } = await server.enrol(await server.code(client.number));
    const key = `a/${client.number}/d/${deviceId}/1`;
    const row = () => server.deps.db.read((manager) => manager.findOneByOrFail(DeviceEntity, { deviceId }));
    expect(await row()).toMatchObject({ version: 1, mirrored: 0 });
    expect(await mirrorChanges(server.deps)).toBeGreaterThan(0);
    store.failure = undefined;
    expect(await mirrorChanges(server.deps)).toBe(0);
    expect(await row()).toMatchObject({ mirrored: 1 });
    expect(await store.stat(key)).toBeDefined();
  });
});
