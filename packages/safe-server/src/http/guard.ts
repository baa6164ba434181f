import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ErrorRequestHandler, RequestHandler } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import { ServerError } from '../errors.ts';
import { sendProblem, toServerError } from './problem.ts';

/** Whether the process is shutting down. */
export interface Lifecycle {
  draining: boolean;
  /** The database is older than the bucket: nothing is answered until it has caught up (F-35). */
  behind?: boolean;
}

const MAX_HEADERS = 100;
const MAX_URL = 2048;
const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE']);
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** Gives each request an id, the client's own if it is sane, and returns it in the answer. */
export const requestId: RequestHandler = (req, res, next) => {
  const offered = req.get('x-request-id');
  req.id = offered !== undefined && REQUEST_ID.test(offered) ? offered : randomUUID();
  res.setHeader('x-request-id', req.id);
  next();
};

/**
 * One log line a request. Never headers, bodies or the query; the path only where no route took the request, since then
 * it says what somebody looked for.
 */
export function requestLog(log: Logger): RequestHandler {
  return pinoHttp({
    logger: log,
    genReqId: (req) => req.id,
    quietReqLogger: true,
    quietResLogger: true,
    customAttributeKeys: { reqId: 'requestId' },
    customLogLevel: (_req, res) => (res.statusCode >= 500 ? 'error' : 'info'),
    customSuccessMessage: () => 'request',
    customErrorMessage: () => 'request',
    customSuccessObject: (req, res, facts: { responseTime: number }) => requestFacts(req, res, facts.responseTime),
    customErrorObject: (req, res, _error, facts: { responseTime: number }) =>
      requestFacts(req, res, facts.responseTime),
  }) as RequestHandler;
}

function requestFacts(req: IncomingMessage, res: ServerResponse, ms: number): object {
  const { locals } = res as { locals?: Record<string, unknown> };
  return {
    method: req.method,
    route: locals?.['route'] ?? `unmatched ${(req.url ?? '').split('?')[0]?.slice(0, 200)}`,
    status: res.statusCode,
    device: locals?.['device'],
    problem: locals?.['problem'],
    ms,
    bytesIn: Number(req.headers['content-length'] ?? 0),
    bytesOut: Number(res.getHeader('content-length') ?? 0),
    aborted: res.writableFinished ? undefined : true,
  };
}

/** Headers of an API: nothing is a page unless its route says so, nothing is cached, nothing is shared across origins. */
export const securityHeaders: RequestHandler = helmet({
  contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  crossOriginResourcePolicy: { policy: 'same-origin' },
  referrerPolicy: { policy: 'no-referrer' },
  xFrameOptions: { action: 'deny' },
});

/** Refuses what no route should have to think about: a missing Host, too many headers, odd methods, a closing server. */
export function guard(lifecycle: Lifecycle): RequestHandler {
  return (req, res, next) => {
    if (lifecycle.draining && !req.path.startsWith('/health/')) {
      res.setHeader('connection', 'close');
      throw new ServerError('draining', { retryAfter: 5 });
    }
    if (lifecycle.behind && !req.path.startsWith('/health/')) throw new ServerError('catching-up', { retryAfter: 60 });
    if (req.rawHeaders.length / 2 > MAX_HEADERS) throw new ServerError('header-too-large');
    if (req.url.length > MAX_URL) throw new ServerError('uri-too-long');
    if (req.headers.host === undefined && req.httpVersion === '1.1')
      throw new ServerError('invalid', { detail: 'The Host header is missing' });
    if (!METHODS.has(req.method)) {
      res.setHeader('allow', [...METHODS].join(', '));
      throw new ServerError('method-not-allowed');
    }
    next();
  };
}

/** What no route took. */
export const notFound: RequestHandler = () => {
  throw new ServerError('not-found');
};

/** The last handler: every error becomes problem+json; what was not foreseen is logged with its cause. */
export const onError: ErrorRequestHandler = (thrown, req, res, _next) => {
  const error = toServerError(thrown);
  res.locals['problem'] = error.code;
  if (error.status >= 500 || error.cause !== undefined) {
    const level = error.code === 'internal' || error.code === 'stored-damaged' ? 'error' : 'warn';
    req.log[level]({ err: error, route: res.locals['route'] as unknown }, 'refused');
  }
  sendProblem(res, error);
};
