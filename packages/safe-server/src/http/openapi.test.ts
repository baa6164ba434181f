import { ROUTES } from '@cresus-safe/protocol/http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestServer, type TestServer } from '../app.test.bed.ts';
import { createRoutes } from '../app.ts';
import type { Route } from './route.ts';

let server: TestServer;
let routes: Route[];
// biome-ignore lint/suspicious/noExplicitAny: the document is looked into
let document: any;
beforeAll(async () => {
  server = await startTestServer();
  routes = createRoutes(server.deps, server.lifecycle);
  document = (await server.call('GET', ROUTES.openapi)).body;
});
afterAll(() => server.close());

describe('the OpenAPI document', () => {
  it('is 3.1 and has every route of the application, and no other', () => {
    expect(document.openapi).toMatch(/^3\.1/);
    const described = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const mounted = routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
    expect(described.sort()).toEqual(mounted.sort());
  });
  it('has every path of the protocol', () => {
    const paths = new Set(routes.map(({ path }) => path));
    expect(Object.values(ROUTES).filter((path) => !paths.has(path))).toEqual([]);
  });
  it('gives every operation its own id, a summary, an answer and its problems', () => {
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods as object));
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    for (const { summary, responses } of operations) {
      expect(summary).toBeTruthy();
      expect(Object.keys(responses)).toContain('500');
      expect(Object.keys(responses).some((status) => status.startsWith('2'))).toBe(true);
    }
  });
  it('names no schema that it does not hold, and holds parameters for every id', () => {
    const text = JSON.stringify(document);
    const named = new Set([...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name));
    expect(named.size).toBeGreaterThan(5);
    for (const name of named) expect(document.components.schemas).toHaveProperty(name as string);
    for (const [path, methods] of Object.entries(
      document.paths as Record<string, Record<string, { parameters?: object[] }>>,
    ))
      for (const [, name] of path.matchAll(/\{(\w+)\}/g))
        for (const operation of Object.values(methods))
          expect(operation.parameters).toContainEqual(expect.objectContaining({ name, in: 'path', required: true }));
  });
  it('TN-20 every parameter of every route has a schema', () => {
    for (const { path, params } of routes) expect(/:/.test(path)).toBe(params !== undefined);
  });
});

describe('TN-01 every route but the public ones', () => {
  it('is closed without a token', async () => {
    const closed = routes.filter(({ access }) => access !== 'public');
    expect(closed.length).toBeGreaterThan(10);
    for (const { method, path } of closed) {
      const answer = await server.call(method, path.replace(/:\w+/g, '0'.repeat(64)));
      expect([method, path, answer.status]).toEqual([method, path, 401]);
    }
  });
  it('the public ones are these', () => {
    const open = routes.filter(({ access }) => access === 'public').map(({ method, path }) => `${method} ${path}`);
    expect(open.sort()).toEqual(
      ['GET /docs', 'GET /health/live', 'GET /health/ready', 'GET /v1/openapi.json', 'POST /v1/devices'].sort(),
    );
  });
});

it('the reader shows all operations without a script, under a policy that allows none', async () => {
  const { headers, text } = await server.call('GET', '/docs');
  expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(headers.get('content-security-policy')).toMatch(
    /^default-src 'none'; style-src 'sha256-[^']+'; frame-ancestors/,
  );
  expect(text).not.toMatch(/<script|https?:\/\/|\son\w+=/);
  for (const { path } of routes) expect(text).toContain(path.replace(/:(\w+)/g, '{$1}'));
});

describe('health', () => {
  it('is live and ready', async () => {
    expect((await server.call('GET', ROUTES.live)).body).toEqual({ status: 'ok' });
    expect((await server.call('GET', ROUTES.ready)).body).toEqual({ status: 'ok' });
  });
  it('is not ready while draining, when everything else is refused too', async () => {
    server.lifecycle.draining = true;
    expect((await server.call('GET', ROUTES.live)).status).toBe(200);
    expect((await server.call('GET', ROUTES.ready)).status).toBe(503);
    const refused = await server.call('GET', ROUTES.account);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('5');
    expect(refused.headers.get('connection')).toBe('close');
    server.lifecycle.draining = false;
  });
});
