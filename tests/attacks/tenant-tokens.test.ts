import { pathOf, VaultKeys } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fill, type Operation, operationsOf } from '../support/api.ts';
import { until } from '../support/process.ts';
import { type Answer, ask, ProtocolClient, randomId } from '../support/protocol-client.ts';
import { head, rawAsk } from '../support/raw-http.ts';
import { Tenants } from '../support/tenants.ts';

let tenants: Tenants;
let operations: Operation[];

beforeAll(async () => {
  tenants = await Tenants.create();
  operations = await operationsOf(tenants.url);
});
afterAll(() => tenants[Symbol.asyncDispose]());

/** What a client can tell answers apart by. */
function seen({ status, headers, bytes }: Answer): object {
  const shown = [...headers].filter(([name]) => name !== 'date' && name !== 'x-request-id');
  return { status, headers: Object.fromEntries(shown), body: bytes.toString() };
}

const BODIES: Readonly<Record<string, Uint8Array | object>> = { PUT: new Uint8Array(10), POST: {} };

function knock({ method, path }: Operation, headers: Record<string, string>, query = ''): Promise<Answer> {
  const url = `${tenants.url}${fill(path, randomId(64))}${query}`;
  return ask(url, { method, body: BODIES[method], headers });
}

describe('who has no valid token', () => {
  it('TN-01 none, a malformed one and another scheme get one and the same 401 on every route', async () => {
    const secured = operations.filter(({ needsToken }) => needsToken);
    expect(secured.length).toBeGreaterThanOrEqual(13);
    const { token } = tenants.a;
    const wrong = ['', 'Bearer', 'Bearer x', token, `Basic ${token}`, `Bearer ${token} ${token}`, `Bearer "${token}"`];
    wrong.push(`Bearer ${token}A`, `Bearer ${token.slice(1)}`, `Bearer ${'A'.repeat(10_000)}`, "Bearer ' OR 1=1 --");
    const expected = seen(await ask(`${tenants.url}${pathOf('account')}`));
    expect(expected).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer realm="cresus-safe"' } });
    for (const operation of secured)
      for (const authorization of wrong) {
        const answer = await knock(operation, { authorization });
        // a body that was not read ends the connection, whatever the token
        const { connection: _, ...headers } = Object.fromEntries(answer.headers);
        expect({ ...headers, status: answer.status, body: answer.bytes.toString() }).toMatchObject({
          status: 401,
          body: (expected as { body: string }).body,
          'www-authenticate': 'Bearer realm="cresus-safe"',
          'content-type': 'application/problem+json',
        });
      }
  });

  it('TN-02 a revoked token is refused within a second, for everything, though another process revoked it', async () => {
    const { server } = tenants.world;
    const { number } = tenants.subscribers.a;
    const stolen = await ProtocolClient.enrol(tenants.url, await server.newCode(number));
    expect((await stolen.call('GET', pathOf('account'))).status).toBe(200);
    await server.operateJson('device', 'revoke', stolen.deviceId);
    const begun = performance.now();
    await until(
      async () => ((await stolen.call('GET', pathOf('account'))).status === 401 ? true : undefined),
      () => 'the revoked token still works',
    );
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect((await stolen.join(tenants.a)).status).toBe(401); // and proves nothing any more
    expect((await tenants.a.call('GET', pathOf('account'))).status).toBe(200);
  });

  it('TN-03 a token in the address is no token, and reaches no log', async () => {
    const { token } = tenants.a;
    for (const name of ['token', 'access_token', 'authorization', 'api_key']) {
      const answer = await ask(`${tenants.url}${pathOf('account')}?${name}=${token}`);
      expect([answer.status, answer.code]).toEqual([401, 'unauthorized']);
    }
    expect(tenants.world.server.log).not.toContain(token);
  });
});

describe('who has a token and wants more', () => {
  it('TN-06 an append-only token deletes, forgets and shortens nothing', async () => {
    const { a, b } = tenants;
    const { id, pack } = await a.send();
    const before = await a.account();
    const remove = await a.call('DELETE', pathOf('device', { deviceId: b.deviceId }));
    expect([remove.status, remove.code]).toEqual([403, 'elevation-required']);
    const forget = await a.append(a.about('snapshot-forget', id));
    expect([forget.status, forget.code]).toEqual([403, 'elevation-required']);
    for (const path of [
      pathOf('pack', { packId: pack.packId }),
      pathOf('record', { snapshotId: id }),
      pathOf('journal'),
    ])
      expect((await a.call('DELETE', path)).status).toBe(405);
    expect(await a.account()).toMatchObject({ head: before['head'], quota: before['quota'] });
    expect((await a.call('GET', pathOf('record', { snapshotId: id }))).status).toBe(200);
  });

  it('TN-07 no token of a device opens anything of operators, and what is there for all tells nothing', async () => {
    const unknown = seen(await tenants.a.call('GET', '/v1/nothing-like-this'));
    for (const path of [
      '/v1/operator',
      '/v1/operator/subscribers',
      '/admin',
      '/console',
      '/metrics',
      '/.env',
      '/.git/config',
    ]) {
      expect(seen(await tenants.a.call('GET', path))).toEqual(unknown);
      expect(seen(await ask(`${tenants.url}${path}`))).toEqual(unknown);
    }
    const open = operations.filter(({ needsToken }) => !needsToken).map(({ method, path }) => `${method} ${path}`);
    // whoever adds a route without a token says so here
    const forAll = ['GET /docs', 'GET /health/live', 'GET /health/ready', 'GET /v1/openapi.json', 'POST /v1/devices'];
    expect(open.toSorted()).toEqual(forAll);
  });

  it('TN-48 TRACE, OPTIONS, CONNECT and invented methods get 405 with what is allowed', async () => {
    const host = new URL(tenants.url).host;
    const authorization = `authorization: Bearer ${tenants.a.token}`;
    for (const method of ['TRACE', 'OPTIONS', 'PATCH', 'PROPFIND', 'SEARCH', 'CONNECT', 'FROB'])
      for (const path of [pathOf('account'), pathOf('pack', { packId: randomId(64) }), '/nowhere']) {
        const answer = await rawAsk(tenants.url, head(`${method} ${path}`, [`host: ${host}`, authorization]));
        expect([method, path, answer.status]).toEqual([method, path, 405]);
        expect(answer.headers['allow']).toMatch(/^(GET|HEAD|PUT|POST|DELETE)(, (GET|HEAD|PUT|POST|DELETE))*$/);
        expect(JSON.parse(answer.body)).toMatchObject({ code: 'method-not-allowed' });
      }
    for (const path of new Set(operations.map((operation) => operation.path))) {
      const allowed = operations.filter((operation) => operation.path === path).map(({ method }) => method);
      for (const method of ['GET', 'PUT', 'POST', 'DELETE'].filter((name) => !allowed.includes(name))) {
        const answer = await tenants.a.call(method, fill(path, randomId(64)), BODIES[method]);
        expect([method, path, answer.status]).toEqual([method, path, 405]);
        expect(answer.headers.get('allow')?.split(', ')).toEqual(expect.arrayContaining(allowed));
      }
    }
  });
});

describe('R-01 a stolen token without the key of the vault', () => {
  it('R-01 appends neither entry nor header, and the chain stays what it was', async () => {
    const { a } = tenants;
    const before = await a.account();
    const thief = new ProtocolClient(a.url, a);
    await thief.prepareVault(); // keys of its own
    const foreign = { keys: thief.keys };
    const pack = a.seal();
    expect((await a.put(pack)).status).toBe(201);
    const forged = await a.append(a.snapshot(pack, foreign));
    expect([forged.status, forged.code]).toEqual([403, 'bad-signature']);
    const other = await thief.append(await thief.prepareVault());
    expect([other.status, other.code]).toEqual([409, 'vault-exists']);
    expect((await a.account())['head']).toEqual(before['head']);
  });

  it('R-01 a pending device reads header and share, and nothing else', async () => {
    const { server } = tenants.world;
    const pending = await ProtocolClient.enrol(tenants.url, await server.newCode(tenants.subscribers.a.number));
    const vault = await pending.call('GET', pathOf('vault'));
    expect(vault.status).toBe(200);
    expect(Object.keys(vault.json).toSorted()).toEqual(['challenge', 'head', 'header', 'share', 'vaultId']);
    const guessing = new ProtocolClient(tenants.url, pending);
    const BINARY: Record<string, Uint8Array> = {
      append: (await guessing.prepareVault()).bytes,
      heal: new Uint8Array(),
    };
    const signature = Buffer.from(VaultKeys.create().sign('proof', new Uint8Array(64))).toString('base64');
    const proof = await pending.call('POST', pathOf('proof'), { signature });
    expect([proof.status, proof.code]).toEqual([403, 'bad-signature']);
    const may = ['enrol', 'getVault', 'proveDevice', 'getAccount', 'live', 'ready', 'openapi', 'docs'];
    for (const { method, path, id, needsToken } of operations) {
      if (!needsToken || may.includes(id)) continue;
      const binary = BINARY[id] ?? BODIES[method];
      const answer = await pending.call(
        method,
        fill(path, (name) => randomId(name === 'deviceId' ? 32 : 64)),
        binary,
      );
      expect([id, answer.status, answer.code]).toEqual([id, 403, 'pending']);
    }
  });
});
