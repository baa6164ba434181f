import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the proxy does to one request instead of passing it on. */
export type Fault =
  /** Answers so, without asking the store; `after`: once the store has done its work, whose answer is thrown away. */
  | { readonly answer: { status: number; body?: string; headers?: Record<string, string> }; readonly after?: boolean }
  /** Lets the store do its work, then cuts the connection without an answer. */
  | { readonly lose: true }
  /** Answers nothing, for ever. */
  | { readonly hang: true }
  /** Passes so many bytes of the answer's body, then cuts. */
  | { readonly truncate: number }
  /** Changes the answer's body, or its headers. */
  | { readonly change: (body: Buffer, headers: Record<string, string | string[] | undefined>) => Buffer };

/** The S3 error document of a code. */
export function errorXml(code: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>no</Message></Error>`;
}

/** An HTTP proxy in front of a real S3 store that spoils what `fault` says. Signatures hold: the host is passed on. */
export class FaultyS3 {
  /** Method and path of every request that came. */
  readonly seen: string[] = [];
  /** Decides on each request; undefined passes it on. */
  fault: (method: string, path: string) => Fault | undefined = () => undefined;
  readonly #target: URL;
  readonly #server: Server;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((req, res) => void this.#serve(req, res).catch(() => res.destroy()));
    this.#server.on('checkContinue', (req, res: ServerResponse) => {
      res.writeContinue();
      void this.#serve(req, res).catch(() => res.destroy());
    });
  }

  static async before(target: string): Promise<FaultyS3> {
    const proxy = new FaultyS3(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { method = '', url = '' } = req;
    this.seen.push(`${method} ${url}`);
    const fault = this.fault(method, url);
    if (fault !== undefined && 'hang' in fault) return;
    if (fault !== undefined && 'answer' in fault && !fault.after) {
      req.resume();
      await once(req, 'end');
      answer(res, fault.answer);
      return;
    }
    const { status, headers, body } = await this.#ask(req);
    if (fault === undefined) answer(res, { status, headers, body }, method);
    else if ('answer' in fault) answer(res, fault.answer);
    else if ('lose' in fault) res.destroy();
    else if ('truncate' in fault) {
      res.writeHead(status, headers).write(body.subarray(0, fault.truncate), () => res.destroy());
    } else if ('change' in fault) {
      const changed = fault.change(body, headers);
      answer(res, { status, headers: { ...headers, 'content-length': String(changed.length) }, body: changed }, method);
    }
  }

  async #ask(req: IncomingMessage): Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }> {
    const { expect: _, ...headers } = req.headers;
    const up = request({
      host: this.#target.hostname,
      port: this.#target.port,
      method: req.method,
      path: req.url,
      headers, // with the host of the proxy, which is what was signed
      agent: false,
    });
    req.pipe(up);
    req.once('close', () => !req.complete && up.destroy());
    const [response] = (await once(up, 'response')) as [IncomingMessage];
    const pieces: Buffer[] = [];
    for await (const piece of response) pieces.push(piece as Buffer);
    const { 'transfer-encoding': __, ...passed } = response.headers; // the body is whole now
    return { status: response.statusCode ?? 0, headers: passed, body: Buffer.concat(pieces) };
  }
}

function answer(
  res: ServerResponse,
  { status, headers = {}, body = '' }: { status: number; headers?: IncomingMessage['headers']; body?: string | Buffer },
  method = 'GET',
): void {
  if (method === 'HEAD' || status === 204) res.writeHead(status, headers).end();
  else res.writeHead(status, { 'content-length': String(Buffer.byteLength(body)), ...headers }).end(body);
}
