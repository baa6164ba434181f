import { connect as connectPlain, type NetConnectOpts, type Socket } from 'node:net';
import { type AnswerHead, ConnectionLost, classified, interrupted } from './http-failure.ts';

/** Where a lane connects, and what it says with every request. */
export interface LaneTarget {
  readonly origin: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly ca: string | undefined;
  readonly stallMs: number;
}

export interface LaneAnswer extends AnswerHead {
  /** Whether the body went into the sink; else the answer is not one that a lane reads, and was cut off. */
  readonly taken: boolean;
}

const SCRATCH = 64 * 1024;
const HEAD_BYTES = 16 * 1024;
/** A longer read keeps the socket busy for less work per byte, but delays the other lanes. */
const READ = 512 * 1024;
const STALL_BYTES = 1024;
const END_OF_HEAD = Buffer.from('\r\n\r\n', 'latin1');

interface Waiting {
  readonly place: (head: AnswerHead) => Uint8Array | undefined;
  readonly arrived: (bytes: number) => void;
  readonly resolve: (answer: LaneAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One kept-alive connection that does one thing: GET with a declared length, straight into the caller's memory. Through
 * node:http every 64 KiB costs two buffers and a copy, which was half of the CPU time of a restore (measured). It reads
 * the one plain form of an answer; whoever calls asks again through HttpClient for any other.
 */
export class HttpLane {
  readonly #target: LaneTarget;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH);
  #socket: Socket | undefined;
  #waiting: Waiting | undefined;
  #head = Buffer.alloc(0);
  #answer: AnswerHead | undefined;
  #body: Uint8Array | undefined;
  #done = 0;
  #connected = false;

  constructor(target: LaneTarget) {
    this.#target = target;
  }

  /**
   * @param arrived told of every body byte that lies in place, so that a cut download can go on
   * @param place gives the memory for the body of exactly the declared length, or undefined to refuse it; may throw
   * @throws ConnectionLost, AgentError `tls`, `interrupted`
   */
  async get(
    path: string,
    headers: Readonly<Record<string, string>>,
    place: Waiting['place'],
    signal: AbortSignal | undefined,
    arrived: Waiting['arrived'],
  ): Promise<LaneAnswer> {
    if (signal?.aborted) throw interrupted();
    const socket = this.#socket ?? (await this.#connect());
    const stop = (): void => this.#fail(interrupted());
    const watchdog = this.#watch(socket);
    signal?.addEventListener('abort', stop, { once: true });
    try {
      return await new Promise<LaneAnswer>((resolve, reject) => {
        this.#waiting = { place, arrived, resolve, reject };
        socket.ref();
        socket.write(this.#request(path, headers));
        if (signal?.aborted) stop();
      });
    } finally {
      clearInterval(watchdog);
      signal?.removeEventListener('abort', stop);
      socket.unref();
    }
  }

  close(): void {
    this.#fail(new ConnectionLost('CLOSED', true, 'the lane was closed'));
  }

  #request(path: string, headers: Readonly<Record<string, string>>): string {
    const { origin } = this.#target;
    const lines = Object.entries({ host: origin.host, ...this.#target.headers, ...headers });
    const base = origin.pathname.replace(/\/$/, '');
    return `GET ${base}${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  }

  async #connect(): Promise<Socket> {
    const { origin, ca } = this.#target;
    const host = origin.hostname.replace(/^\[|\]$/g, '');
    const secure = origin.protocol === 'https:';
    const onread = { buffer: () => this.#room(), callback: (length: number) => this.#read(length) };
    const options = { host, port: Number(origin.port || (secure ? 443 : 80)), onread, noDelay: true };
    this.#connected = false;
    const socket = secure ? await connectSecure(options, ca) : connectPlain(options as NetConnectOpts);
    this.#socket = socket;
    socket.on('error', (error) => this.#fail(error, socket));
    socket.on('close', () =>
      this.#fail(new ConnectionLost('ECONNRESET', this.#connected, 'the connection ended'), socket),
    );
    socket.once(secure ? 'secureConnect' : 'connect', () => (this.#connected = true));
    return socket;
  }

  /** Where the next bytes go: into the body once its head was read. */
  #room(): Uint8Array {
    return this.#body?.subarray(this.#done, this.#done + READ) ?? this.#scratch;
  }

  #read(length: number): boolean {
    if (this.#body !== undefined) {
      this.#done += length;
      this.#waiting?.arrived(length);
      if (this.#done === this.#body.length) this.#finish(true);
    } else if (this.#waiting === undefined) {
      this.#fail(new ConnectionLost('EPROTO', true, 'bytes that nobody asked for'));
    } else {
      this.#head = Buffer.concat([this.#head, this.#scratch.subarray(0, length)]);
      this.#readHead(this.#waiting);
    }
    return true;
  }

  #readHead({ place, arrived }: Waiting): void {
    const end = this.#head.indexOf(END_OF_HEAD);
    if (end < 0) {
      if (this.#head.length > HEAD_BYTES) this.#finish(false, { status: 0, header: () => undefined });
      return;
    }
    const head = parseHead(this.#head.toString('latin1', 0, end));
    const rest = this.#head.subarray(end + END_OF_HEAD.length);
    this.#head = Buffer.alloc(0);
    this.#answer = head;
    try {
      const body = head === undefined ? undefined : place(head);
      if (head === undefined || body === undefined || rest.length > body.length) {
        this.#finish(false, head);
        return;
      }
      body.set(rest);
      this.#body = body;
      this.#done = rest.length;
      arrived(rest.length);
      if (this.#done === body.length) this.#finish(true);
    } catch (error) {
      this.#fail(error);
    }
  }

  #finish(taken: boolean, head = this.#answer): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#body = undefined;
    this.#answer = undefined;
    if (!taken || head?.header('connection')?.toLowerCase() === 'close') this.#drop();
    waiting?.resolve({ status: head?.status ?? 0, header: (name) => head?.header(name), taken });
  }

  #fail(error: unknown, socket = this.#socket): void {
    if (socket !== this.#socket) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#body = undefined;
    this.#answer = undefined;
    this.#drop();
    waiting?.reject(classified(error, this.#connected));
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#head = Buffer.alloc(0);
    socket?.destroy();
  }

  #watch(socket: Socket): NodeJS.Timeout {
    let last = socket.bytesRead;
    return setInterval(() => {
      const moved = socket.bytesRead;
      if (moved - last < STALL_BYTES) this.#fail(new ConnectionLost('STALLED', true, 'the connection stalled'));
      last = moved;
    }, this.#target.stallMs).unref();
  }
}

async function connectSecure(
  options: { host: string; port: number; onread: object },
  ca: string | undefined,
): Promise<Socket> {
  const { connect } = await import('node:tls');
  const isName = /[a-z]/i.test(options.host) && !options.host.includes(':');
  return connect({
    ...options,
    ALPNProtocols: ['http/1.1'],
    ...(isName ? { servername: options.host } : {}),
    ...(ca === undefined ? {} : { ca }),
  });
}

/** Status and headers of an answer in the one form that a lane reads; undefined for any other. */
function parseHead(text: string): AnswerHead | undefined {
  const [start = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.1 (200|206)(?: |$)/.exec(start)?.[1];
  if (status === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const line of lines) {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    const name = match?.[1]?.toLowerCase();
    if (name === undefined || match?.[2] === undefined) return undefined;
    // what frames the body must be said once and plainly
    if (name === 'transfer-encoding' || (name === 'content-length' && fields.has(name))) return undefined;
    fields.set(name, match[2]);
  }
  if (!/^\d{1,9}$/.test(fields.get('content-length') ?? '')) return undefined;
  return { status: Number(status), header: (name) => fields.get(name) };
}
