import { once } from 'node:events';
import http, { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';

/** A request of the agent, whole. */
export interface Asked {
  /** 1 for the first request since the proxy started. */
  readonly n: number;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<http.IncomingHttpHeaders>;
  readonly body: Buffer;
}

/** An answer as it will be given to the agent. */
export interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  /** Written as it comes: a stream without `content-length`, a Buffer with its own. */
  readonly body: Buffer | AsyncIterable<Uint8Array>;
  /** A `content-length` that is a lie about a Buffer. */
  readonly declaredLength?: number;
}

/** What a hook may do instead of giving an answer. */
export type Misdeed = { readonly raw: (socket: Socket) => void | Promise<void> };

type Soon<T> = T | Promise<T>;
export type RequestHook = (asked: Asked) => Soon<Asked | Answer | Misdeed | undefined>;
export type AnswerHook = (asked: Asked, answer: HonestAnswer) => Soon<Answer | Misdeed | undefined>;

/** What the real server answered: its body is whole and has no content encoding. */
export interface HonestAnswer extends Answer {
  readonly body: Buffer;
}

export interface Exchange {
  readonly asked: Asked;
  readonly answer: HonestAnswer | undefined;
}

/**
 * A server that cheats: an HTTP proxy in front of the real one, with one hook for requests and one for answers. A hook
 * that returns `undefined` lets the exchange pass as it is. Bodies are held whole (a pack is at most 17 MiB).
 */
export class HostileServer {
  /** Sees each request before the server does; an `Answer` here never reaches the server. */
  onRequest: RequestHook = () => undefined;
  /** Sees each answer before the agent does. */
  onAnswer: AnswerHook = () => undefined;
  /** Everything that went through, in order of arrival; the zero-knowledge suite reads it. */
  readonly exchanges: Exchange[] = [];
  readonly #target: URL;
  readonly #listener: http.Server;
  readonly #upstream = new http.Agent({ keepAlive: true });
  readonly #failures: unknown[] = [];
  #asked = 0;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#listener = http.createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        if (!response.destroyed) this.#failures.push(error);
        response.destroy();
      });
    });
  }

  static async before(target: string): Promise<HostileServer> {
    const proxy = new HostileServer(target);
    proxy.#listener.listen(0, '127.0.0.1');
    await once(proxy.#listener, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  /** Makes the server honest again and forgets what went through. */
  reset(): void {
    this.onRequest = () => undefined;
    this.onAnswer = () => undefined;
    this.exchanges.length = 0;
  }

  /** Throws what a hook threw: a test whose hook broke must not look like one whose attack was repelled. */
  check(): void {
    const [failure] = this.#failures;
    if (failure !== undefined) throw failure;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#asked += 1;
    const { method = 'GET', url = '/' } = request;
    const asked: Asked = { n: this.#asked, method, path: url, headers: request.headers, body: await whole(request) };
    const exchange: { asked: Asked; answer: HonestAnswer | undefined } = { asked, answer: undefined };
    this.exchanges.push(exchange);
    const first = await this.onRequest(asked);
    if (first !== undefined && !('path' in first)) return await give(response, first);
    const honest = await this.#forward(first ?? asked);
    exchange.answer = honest;
    await give(response, (await this.onAnswer(asked, honest)) ?? honest, method === 'HEAD');
  }

  async #forward(asked: Asked): Promise<HonestAnswer> {
    const { host: _, 'transfer-encoding': __, expect: ___, 'accept-encoding': ____, ...headers } = asked.headers;
    const { hostname, port } = this.#target;
    const hasBody = asked.body.length > 0 || headers['content-length'] !== undefined;
    const forwarded = http.request({
      hostname,
      port,
      agent: this.#upstream,
      method: asked.method,
      path: asked.path,
      headers: { ...headers, host: this.#target.host, ...(hasBody && { 'content-length': asked.body.length }) },
    });
    forwarded.end(asked.body);
    const [answer] = (await once(forwarded, 'response')) as [IncomingMessage];
    return { status: answer.statusCode ?? 0, headers: withoutHops(answer), body: await whole(answer) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#upstream.destroy();
    this.#listener.closeAllConnections();
    await new Promise((closed) => this.#listener.close(closed));
    this.check();
  }
}

async function whole(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

function withoutHops(message: IncomingMessage): OutgoingHttpHeaders {
  const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...headers } = message.headers;
  return headers;
}

async function give(response: ServerResponse, answer: Answer | Misdeed, isHead = false): Promise<void> {
  if ('raw' in answer) {
    const { socket } = response;
    if (socket !== null) await answer.raw(socket);
    return;
  }
  const { status, headers, body } = answer;
  if (!Buffer.isBuffer(body)) {
    const { 'content-length': _, ...open } = headers;
    response.writeHead(status, open);
    try {
      await pipeline(body, response);
    } catch (error) {
      if (!response.closed) throw error; // the agent hung up: as it should, when the body never ends
    }
    return;
  }
  // the answer to HEAD has the length of the body that it does not carry
  const length = isHead ? {} : { 'content-length': answer.declaredLength ?? body.length };
  response.writeHead(status, { ...headers, ...length });
  response.end(isHead ? undefined : body);
}

/** Closes the connection, after `status line and headers` with `after` bytes of `body` when those are given. */
export function drop(partial?: { readonly body: Buffer; readonly after: number }): Misdeed {
  return {
    raw: (socket) => {
      if (partial !== undefined) {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${partial.body.length}\r\n\r\n`);
        socket.write(partial.body.subarray(0, partial.after));
        socket.end();
      } else socket.resetAndDestroy();
    },
  };
}

/** Keeps the connection open and never answers. */
export const silence: Misdeed = { raw: () => undefined };

/** Bytes without end, as fast as they are taken. */
export async function* endless(piece: Buffer = Buffer.alloc(64 * 1024, 0x20)): AsyncGenerator<Uint8Array> {
  for (;;) yield piece;
}

/** `body` in pieces of `bytes`, one every `everyMs`. */
export async function* drip(body: Buffer, bytes: number, everyMs: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.length; at += bytes) {
    yield body.subarray(at, at + bytes);
    await new Promise((resume) => setTimeout(resume, everyMs));
  }
}

export function redirect(location: string, status = 307): Answer {
  return { status, headers: { location }, body: Buffer.alloc(0) };
}

export function problem(status: number, code: string, facts: Readonly<Record<string, unknown>> = {}): Answer {
  const document = { type: `about:blank#${code}`, title: code, status, code, ...facts };
  return {
    status,
    headers: { 'content-type': 'application/problem+json' },
    body: Buffer.from(JSON.stringify(document)),
  };
}

export function json(value: unknown, status = 200): Answer {
  return { status, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(value)) };
}

/** The same bytes with the bits of `mask` flipped in the byte at `at`. */
export function flipped(body: Buffer, at: number, mask = 1): Buffer {
  const changed = Buffer.from(body);
  const byte = changed[at];
  if (byte === undefined) throw new Error(`no byte at ${at} in ${body.length}`);
  changed[at] = byte ^ mask;
  return changed;
}
