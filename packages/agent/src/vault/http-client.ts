import type { ClientRequest, Agent as HttpAgent, IncomingMessage } from 'node:http';
import type { RequestOptions } from 'node:https';
import { AgentError } from '../errors.ts';
import { type AnswerHead, ConnectionLost, classified, headOf, interrupted, tooLong } from './http-failure.ts';
import { HttpLane, type LaneTarget } from './http-lane.ts';
import type { Pace } from './pacer.ts';

/** One HTTP exchange. `limit` caps the bytes of the answer's body before anything of it is believed. */
export interface Exchange {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
  /** Told when the whole request went out, before its answer is read. */
  readonly sent?: () => void;
  /** How fast the body may go out; undefined: as fast as the line takes it. */
  readonly pace?: Pace | undefined;
}

export interface Answer extends AnswerHead {
  readonly body: Buffer;
}

export interface ClientOptions {
  readonly token?: string | undefined;
  /** Correlates the log lines of one run on the server; random, says nothing. */
  readonly runId: string;
  /** An exchange that moves fewer than 1 KiB in this time is dead (MS-28). */
  readonly stallMs?: number;
  readonly ca?: string | undefined;
  readonly agentVersion?: string;
}

const STALL_MS = 30_000;
const STALL_BYTES = 1024;
const HEADER_BYTES = 16 * 1024;
const PIECE = 256 * 1024;
const SOCKETS = 6;

/**
 * The smallest HTTP client that is safe against a hostile server: no redirects, no cookies, no decompression, header
 * and body caps, a stall limit instead of a total one (1 Mbit/s must succeed). Everything on the way of a send goes through
 * it: a client library costs more CPU per pack than all the cryptography, and its loading a quarter of a send with nothing
 * changed (decision 0005). The rest goes through AccountClient.
 */
export class HttpClient {
  /** Where every request of this run goes and what it says; also for the other ways of asking. */
  readonly target: LaneTarget;
  readonly agent: HttpAgent;
  readonly #request: (options: RequestOptions) => ClientRequest;
  readonly #idleLanes: HttpLane[] = [];

  /** @throws AgentError `plain-http` for http:// beyond loopback, `usage` for what is no URL */
  constructor(server: string, options: ClientOptions) {
    const origin = checkedOrigin(server);
    const { token, runId, agentVersion = '0', ca, stallMs = STALL_MS } = options;
    const headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      'accept-encoding': 'identity',
      'user-agent': `cresus-safe/${agentVersion}`,
      'x-safe-run': runId,
    };
    this.target = { origin, headers, ca, stallMs };
    const secure = origin.protocol === 'https:';
    const settings = { keepAlive: true, maxSockets: SOCKETS, scheduling: 'lifo' as const };
    // `import 'node:http'` evaluates every lazy export, the whole of fetch among them: 60 ms at each start (measured)
    if (secure) {
      const { Agent, request } = process.getBuiltinModule('node:https');
      this.agent = new Agent({ ...settings, ...(ca === undefined ? {} : { ca }) });
      this.#request = request;
    } else {
      const { Agent, request } = process.getBuiltinModule('node:http');
      this.agent = new Agent(settings);
      this.#request = request;
    }
  }

  /** Runs `act` with a lane of its own for downloads; lanes are kept for the next one. */
  async onLane<T>(act: (lane: HttpLane) => Promise<T>): Promise<T> {
    const lane = this.#idleLanes.pop() ?? new HttpLane(this.target);
    try {
      return await act(lane);
    } finally {
      this.#idleLanes.push(lane);
    }
  }

  /**
   * One exchange, tried once.
   * @throws ConnectionLost, AgentError `tls`, AgentError `integrity` for an answer beyond the caps, AbortError
   */
  exchange(exchange: Exchange): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let connected = false;
      const fail = (error: unknown): void => {
        clearInterval(watchdog);
        request.destroy();
        reject(exchange.signal?.aborted ? interrupted() : classified(error, connected));
      };
      const request = this.#open(exchange);
      const watchdog = watch(request, this.target.stallMs, fail);
      request.on('socket', (socket) => {
        if (!socket.connecting) connected = true;
        else socket.once('connect', () => (connected = true));
      });
      request.once('error', fail);
      if (exchange.sent !== undefined) request.once('finish', exchange.sent);
      request.once('response', (response) => {
        connected = true;
        receive(
          response,
          exchange,
          (answer) => {
            clearInterval(watchdog);
            // an answer that came before the whole body was sent (402, 507) leaves the connection half used
            if (!request.writableFinished) request.destroy();
            resolve(answer);
          },
          fail,
        );
      });
      void send(request, exchange).catch(fail);
    });
  }

  /** Closes idle connections, so that the process can end. */
  close(): void {
    this.agent.destroy();
    for (const lane of this.#idleLanes.splice(0)) lane.close();
  }

  #open(exchange: Exchange): ClientRequest {
    const { origin, headers } = this.target;
    const base = origin.pathname.replace(/\/$/, '');
    return this.#request({
      agent: this.agent,
      protocol: origin.protocol,
      hostname: origin.hostname.replace(/^\[|\]$/g, ''),
      port: origin.port,
      method: exchange.method,
      path: base + exchange.path,
      maxHeaderSize: HEADER_BYTES,
      ...(exchange.signal === undefined ? {} : { signal: exchange.signal }),
      headers: {
        ...headers,
        ...(exchange.body === undefined ? {} : { 'content-length': String(exchange.body.length) }),
        ...exchange.headers,
      },
    });
  }
}

function checkedOrigin(server: string): URL {
  let url: URL;
  try {
    url = new URL(server);
  } catch (error) {
    throw new AgentError('usage', 'the server address is not a URL', {
      key: 'error.bad-url',
      params: { server },
      cause: error,
    });
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname))
    throw new AgentError('plain-http', 'plain http is allowed to this computer only', { params: { server } });
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new AgentError('usage', 'the server address is neither https nor http', {
      key: 'error.bad-url',
      params: { server },
    });
  return url;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/** Bodies go out in pieces, each counted when the kernel took it: else the watchdog could not see a slow upload move. */
async function send(request: ClientRequest, { body, pace, signal }: Exchange): Promise<void> {
  if (body === undefined || body.length === 0) {
    request.end();
    return;
  }
  for (let from = 0; from < body.length && !request.destroyed; ) {
    const piece = body.subarray(from, from + (pace?.pieceBytes(PIECE) ?? PIECE));
    if (pace) await pace.take(piece.length, signal);
    from += piece.length;
    if (from === body.length) request.end(piece);
    else if (!(await written(request, piece))) return;
  }
}

/** False when the request failed meanwhile, which its own error tells. */
function written(request: ClientRequest, piece: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => request.write(piece, (error) => resolve(!error)));
}

function watch(request: ClientRequest, stallMs: number, fail: (error: unknown) => void): NodeJS.Timeout {
  let last = 0;
  const timer = setInterval(() => {
    const socket = request.socket;
    const moved = socket === null || socket === undefined ? 0 : socket.bytesRead + socket.bytesWritten;
    if (Math.abs(moved - last) < STALL_BYTES) fail(new ConnectionLost('STALLED', true, 'the connection stalled'));
    last = moved;
  }, stallMs);
  timer.unref();
  return timer;
}

function receive(
  response: IncomingMessage,
  exchange: Exchange,
  done: (answer: Answer) => void,
  fail: (error: unknown) => void,
): void {
  const head = headOf(response.statusCode ?? 0, response.headers);
  const pieces: Buffer[] = [];
  let length = 0;
  if (Number(head.header('content-length') ?? 0) > exchange.limit) {
    fail(tooLong(exchange.limit));
    return;
  }
  response.on('data', (piece: Buffer) => {
    length += piece.length;
    if (length > exchange.limit) fail(tooLong(exchange.limit));
    else pieces.push(piece);
  });
  response.once('error', fail);
  response.once('aborted', () => fail(new ConnectionLost('ECONNRESET', true, 'the answer was cut')));
  response.once('end', () => done({ ...head, body: Buffer.concat(pieces) }));
}
