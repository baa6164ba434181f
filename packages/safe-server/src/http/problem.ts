import { PROBLEM_TYPE, problemBody } from '@cresus-safe/protocol/http';
import type { Response } from 'express';
import { ServerError } from '../errors.ts';

/**
 * Whatever was thrown, as a ServerError: errors of Express, of URL decoding and of the socket carry a status; anything
 * else is `internal` and its message stays in the log, since it may hold SQL, a path or a piece of a body.
 */
export function toServerError(error: unknown): ServerError {
  if (error instanceof ServerError) return error;
  if (error instanceof URIError) return new ServerError('invalid', { detail: 'The address is not well encoded' });
  const { code, status } = (error ?? {}) as { code?: unknown; status?: unknown };
  if (code === 'SQLITE_BUSY' || code === 'SQLITE_LOCKED')
    return new ServerError('busy', { retryAfter: 1 }, { cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL')
    return new ServerError('storage-full', { retryAfter: 60 }, { cause: error });
  if (status === 400) return new ServerError('invalid', {}, { cause: error });
  return new ServerError('internal', {}, { cause: error });
}

/** The RFC 9457 document of an error. */
export function problemDocument(error: ServerError): Record<string, unknown> {
  return problemBody(error.code, error.facts);
}

/** The headers that belong to an error's answer, beside its body. */
export function problemHeaders(error: ServerError): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' };
  if (error.facts.retryAfter !== undefined)
    headers['retry-after'] = String(Math.max(1, Math.ceil(error.facts.retryAfter)));
  if (error.status === 401) headers['www-authenticate'] = 'Bearer realm="cresus-safe"';
  return headers;
}

/** How long a connection stays open after a refusal whose request was not read to its end, ms. */
const LINGER = 1000;

/**
 * Sends an error as problem+json. When the request's body was not read to its end the connection closes after the
 * answer, since reading on would let a refused upload cost its full length; but not at once, or the reset that unread
 * bytes cause could overtake the answer.
 */
export function sendProblem(res: Response, error: ServerError): void {
  if (res.headersSent) {
    res.destroy(); // too late for a status: a cut connection is the only honest signal left
    return;
  }
  const body = Buffer.from(JSON.stringify(problemDocument(error)));
  res.status(error.status);
  for (const [name, value] of Object.entries(problemHeaders(error))) res.setHeader(name, value);
  res.setHeader('content-length', body.length);
  const sent = res.req.method === 'HEAD' ? Buffer.alloc(0) : body;
  if (res.req.complete) {
    res.end(sent);
    return;
  }
  res.setHeader('connection', 'close');
  res.flushHeaders();
  res.write(sent);
  const timer = setTimeout(() => res.end(), LINGER);
  res.once('close', () => clearTimeout(timer));
}
