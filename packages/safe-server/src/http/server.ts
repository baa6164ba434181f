import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { PROBLEMS } from '@cresus-safe/protocol/http';
import { ServerError } from '../errors.ts';
import { deferContinue } from './body.ts';
import { problemDocument, problemHeaders } from './problem.ts';

/** Limits of the raw HTTP server. */
export interface ServerLimits {
  /** Seconds for the headers of a request to arrive. */
  readonly headerSeconds: number;
}

const MAX_HEADER_BYTES = 16 * 1024;
const KEEP_ALIVE_MS = 65_000; // longer than the usual 60 s of a proxy in front, so that the proxy closes first

/**
 * The HTTP server around the application. There is no limit on how long a whole request takes (a pack over a slow
 * uplink must succeed); headers have one, and bodies and answers are watched by their pace instead.
 */
export function createHttpServer(app: RequestListener, limits: ServerLimits): Server {
  const headersTimeout = limits.headerSeconds * 1000;
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout,
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(1000, headersTimeout / 2),
    keepAliveTimeout: KEEP_ALIVE_MS,
    requireHostHeader: false, // the application answers it, as a problem document
    noDelay: true,
  });
  server.maxHeadersCount = 0; // Node would drop the rest silently; the application counts and refuses
  const inFlight = new WeakMap<Duplex, ServerResponse>();
  const listener: RequestListener = (req, res) => {
    inFlight.set(req.socket, res);
    res.once('finish', () => inFlight.delete(req.socket));
    app(req, res);
  };
  server.on('request', listener);
  server.on('checkContinue', (req, res) => {
    deferContinue(req, res);
    listener(req, res);
  });
  server.on('checkExpectation', (req) => answerRaw(req.socket, new ServerError('expectation-failed'), false));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    answerRaw(socket, errorOf(error.code), inFlight.get(socket)?.headersSent === true);
  });
  server.on('connect', (_req, socket) => answerRaw(socket, new ServerError('method-not-allowed'), false));
  return server;
}

/** What the parser's complaint means to a client (TN-12 to TN-15). */
function errorOf(code = ''): ServerError | undefined {
  switch (code) {
    case 'ECONNRESET':
    case 'EPIPE':
      return undefined;
    case 'HPE_HEADER_OVERFLOW':
      return new ServerError('header-too-large');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new ServerError('too-large');
    case 'HPE_INVALID_METHOD':
      return new ServerError('method-not-allowed');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ServerError('timeout');
    default:
      return new ServerError('invalid', { detail: 'This is not well-formed HTTP/1.1' });
  }
}

/** Writes an answer where there is no request to answer, and ends the connection. */
function answerRaw(socket: Duplex, error: ServerError | undefined, tooLate: boolean): void {
  if (error === undefined || tooLate || !socket.writable) {
    socket.destroy();
    return;
  }
  const body = JSON.stringify(problemDocument(error));
  const headers = {
    ...problemHeaders(error),
    ...(error.status === 405 && { allow: 'GET, HEAD, PUT, POST, DELETE' }),
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.end(`HTTP/1.1 ${error.status} ${PROBLEMS[error.code].title}\r\n${lines.join('\r\n')}\r\n\r\n${body}`, () =>
    socket.destroy(),
  );
}
