import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { asPackId } from '@cresus-safe/protocol';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { HttpRemote } from './http-remote.ts';

// a throw-away pair for localhost, valid for a hundred years; it protects nothing
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCAVW9MzlsnUyTqRS
AdckLs7qF5cIGqUyvcfuYm4NAHihRANCAAQdgS4rFCbDqvZGVG7M+V7b19AUYtaF
FxytkWV2p3f+LJHAf1sspQ+gHP4A8/HeIvMi5kC5AhBxMaUaSmV5OepL
-----END PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUMNTjF3o3q4WFT4ufidaIn6LcJ7owCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDA1MzMwOFoYDzIxMjYxMDMx
MDUzMzA4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQdgS4rFCbDqvZGVG7M+V7b19AUYtaFFxytkWV2p3f+LJHAf1sspQ+g
HP4A8/HeIvMi5kC5AhBxMaUaSmV5OepLo2kwZzAdBgNVHQ4EFgQUtzpcDQB1EgUv
c8QOCFgCXISqCcgwHwYDVR0jBBgwFoAUtzpcDQB1EgUvc8QOCFgCXISqCcgwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIgC+UvSHJGQdoqK2+sQoqHFX4qfTfr0J4T0S+UqIvuO/oCIQCuJ+Kfshaa
7xjex5A+x4OeiHWHfH6Rq5FL2DG7+aA0ew==
-----END CERTIFICATE-----`;

const PACK = randomBytes(8 * 256 * 1024);
const ID = asPackId('cd'.repeat(32));
let server: Server;
let connections = 0;
let remote: HttpRemote;

beforeEach(async () => {
  connections = 0;
  server = createServer({ key: KEY, cert: CERTIFICATE }, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': String(PACK.length) });
    response.end(PACK);
  });
  server.on('secureConnection', () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
});

afterEach(() => {
  remote.close();
  server.closeAllConnections();
  server.close();
});

function connect(ca?: string): HttpRemote {
  const { port } = server.address() as AddressInfo;
  remote = new HttpRemote({ url: `https://localhost:${port}`, ca, patience: { totalMs: 2000, baseMs: 5 } });
  return remote;
}

test('packs come over TLS, straight into shared memory, one connection for one after the other', async () => {
  const shared = new Uint8Array(new SharedArrayBuffer(PACK.length));
  for (let n = 0; n < 3; n += 1) {
    shared.fill(0);
    await connect(CERTIFICATE).getPack(ID, () => shared);
    expect(Buffer.from(shared).equals(PACK)).toBe(true);
    remote.close();
  }
  const kept = connect(CERTIFICATE);
  connections = 0;
  for (let n = 0; n < 3; n += 1) await kept.getPack(ID, (length) => new Uint8Array(length));
  expect(connections).toBe(1);
  await Promise.all([1, 2, 3].map(() => kept.getPack(ID, (length) => new Uint8Array(length))));
  expect(connections).toBe(3);
});

test('MS-40: a certificate that nobody vouches for is a tls error, for calls and for packs', async () => {
  const unknown = connect();
  await expect(unknown.account()).rejects.toMatchObject({ kind: 'tls' });
  await expect(unknown.leanAccount()).rejects.toMatchObject({ kind: 'tls' });
  await expect(unknown.getPack(ID, (length) => new Uint8Array(length))).rejects.toMatchObject({ kind: 'tls' });
  expect(connections).toBe(0);
});
