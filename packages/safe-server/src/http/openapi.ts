import { PROBLEM_TYPE, PROBLEMS, type ProblemCode, problemResponse } from '@cresus-safe/protocol/http';
import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiResponseObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import type { AnswerSpec, BodySpec, Route } from './route.ts';

/** What any route may answer, by what it is. */
const ALWAYS: readonly ProblemCode[] = ['invalid', 'header-too-large', 'rate-limited', 'internal', 'busy', 'draining'];
const WITH_TOKEN: readonly ProblemCode[] = ['unauthorized'];
const WITH_RIGHT: readonly ProblemCode[] = ['pending', 'forbidden'];
const WITH_BODY: readonly ProblemCode[] = ['malformed-json', 'timeout', 'too-large', 'unsupported-media-type'];

type Operations = Record<string, ZodOpenApiOperationObject>;

/** The OpenAPI 3.1 document, made from the very schemas that requests are checked with. */
export function createOpenApi(routes: readonly Route[]): object {
  const paths: Record<string, Operations> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Crésus Safe',
      version: '1',
      description: 'Opaque bytes in, opaque bytes out. SPEC.md of the protocol package says what they are.',
      license: { name: 'AGPL-3.0-or-later', identifier: 'AGPL-3.0-or-later' },
    },
    servers: [{ url: '/' }],
    paths,
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  });
}

function operation(route: Route): ZodOpenApiOperationObject {
  const parameters = {
    ...(route.params instanceof z.ZodObject && { path: route.params }),
    ...(route.query instanceof z.ZodObject && { query: route.query }),
  };
  return {
    operationId: route.id,
    summary: route.summary,
    security: route.access === 'public' ? [] : [{ token: [] }],
    ...(Object.keys(parameters).length > 0 && { requestParams: parameters }),
    ...(route.body && { requestBody: requestBody(route.body) }),
    responses: { ...answers(route), ...problems(route) },
  };
}

function requestBody(body: BodySpec<unknown>): NonNullable<ZodOpenApiOperationObject['requestBody']> {
  if (body.kind === 'json') return { required: true, content: { 'application/json': { schema: body.schema } } };
  const description = `${body.description}, at most ${body.maxBytes} bytes`;
  return { required: true, description, content: { 'application/octet-stream': {} } };
}

function answers(route: Route): ZodOpenApiResponsesObject {
  const responses: ZodOpenApiResponsesObject = {};
  for (const [status, answer] of Object.entries(route.answers))
    responses[status as `${1 | 2}${string}`] = response(answer);
  return responses;
}

function response({ description, json, binary, html, headers }: AnswerSpec): ZodOpenApiResponseObject {
  const content = {
    ...(json && { 'application/json': { schema: json } }),
    ...(binary && { 'application/octet-stream': {} }),
    ...(html && { 'text/html': {} }),
  };
  return {
    description,
    ...(Object.keys(content).length > 0 && { content }),
    ...(headers && {
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, text]) => [name, { description: text, schema: { type: 'string' } }]),
      ),
    }),
  };
}

/** The problems of a route, one answer per status with its codes. */
function problems(route: Route): ZodOpenApiResponsesObject {
  const codes = new Set<ProblemCode>([
    ...ALWAYS,
    ...(route.access === 'public' ? [] : WITH_TOKEN),
    ...(route.access === 'public' || route.access === 'device' ? [] : WITH_RIGHT),
    ...(route.body ? WITH_BODY : []),
    ...(route.errors ?? []),
  ]);
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status);
  const responses: ZodOpenApiResponsesObject = {};
  for (const [status, group] of byStatus) {
    const description = group.map((code) => `\`${code}\`: ${PROBLEMS[code].title}`).join('. ');
    responses[String(status) as `4${string}`] = {
      description,
      content: { [PROBLEM_TYPE]: { schema: problemResponse } },
    };
  }
  return responses;
}
