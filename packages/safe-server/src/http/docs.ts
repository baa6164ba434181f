import { createHash } from 'node:crypto';
import { ROUTES } from '@cresus-safe/protocol/http';
import { z } from 'zod';
import { renderDocs } from './docs-page.ts';
import { createOpenApi } from './openapi.ts';
import { publicRoute, type Route } from './route.ts';

const DOCS = '/docs';

/** `GET /v1/openapi.json` and its reader at `/docs`, both made once from the routes of the application. */
export function createDocsRoutes(routes: readonly Route[]): Route[] {
  const described = publicRoute({
    method: 'GET',
    path: ROUTES.openapi,
    id: 'openapi',
    summary: 'This description, OpenAPI 3.1',
    answers: { 200: { description: 'The document', json: z.looseObject({ openapi: z.string() }) } },
    handle: () => Promise.resolve({ status: 200, json: document }),
  });
  const reader = publicRoute({
    method: 'GET',
    path: DOCS,
    id: 'docs',
    summary: 'This description, to read',
    answers: { 200: { description: 'A page without scripts', html: true } },
    handle: () => Promise.resolve({ status: 200, headers, bytes: page, type: 'text/html; charset=utf-8' }),
  });
  const document = createOpenApi([...routes, described, reader]);
  const { html, style } = renderDocs(document);
  const page = Buffer.from(html);
  const hash = createHash('sha256').update(style).digest('base64');
  // no script at all, and no style but the one whose hash is named
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`;
  const headers = { 'content-security-policy': policy };
  return [described, reader];
}
