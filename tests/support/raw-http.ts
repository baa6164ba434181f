import { once } from 'node:events';
import net, { type Socket } from 'node:net';

/** What came back on a raw connection. */
export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A TCP connection to a server on which a test writes whatever it likes. */
export class RawConnection {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #isClosed = false;
  #wake: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    const changed = () => {
      for (const wake of this.#wake.splice(0)) wake();
    };
    socket.on('data', (piece: Buffer) => {
      this.#received = Buffer.concat([this.#received, piece]);
      changed();
    });
    socket.on('error', () => undefined); // a reset is one way to be refused: `closed` tells
    socket.on('close', () => {
      this.#isClosed = true;
      changed();
    });
  }

  static async to(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
    const connection = new RawConnection(socket);
    await once(socket, 'connect');
    return connection;
  }

  write(data: string | Uint8Array): this {
    if (this.socket.writable) this.socket.write(data);
    return this;
  }

  /** Takes the next whole answer with a status of 200 or more off the connection. */
  async answer(timeoutMs = 20_000): Promise<RawAnswer> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const answer = this.#take();
      if (answer !== undefined && answer.status >= 200) return answer;
      if (answer !== undefined) continue;
      if (this.#isClosed) throw new Error(`closed after ${JSON.stringify(this.#received.toString('latin1'))}`);
      await this.#change(end);
    }
  }

  /** Waits until the server closes the connection. */
  async closed(timeoutMs = 20_000): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (!this.#isClosed) await this.#change(end);
  }

  #take(): RawAnswer | undefined {
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd === -1) return undefined;
    const [first = '', ...lines] = this.#received.toString('latin1', 0, headEnd).split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    const length = Number(headers['content-length'] ?? 0);
    const bodyStart = headEnd + 4;
    if (this.#received.length < bodyStart + length) return undefined;
    const body = this.#received.toString('utf8', bodyStart, bodyStart + length);
    this.#received = this.#received.subarray(bodyStart + length);
    return { status: Number(first.split(' ')[1]), headers, body };
  }

  async #change(end: number): Promise<void> {
    const left = end - performance.now();
    if (left <= 0) throw new Error(`nothing after ${JSON.stringify(this.#received.toString('latin1').slice(0, 500))}`);
    await new Promise<void>((resume) => {
      const timer = setTimeout(resume, left);
      this.#wake.push(() => {
        clearTimeout(timer);
        resume();
      });
    });
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** Sends these bytes as they are and gives the first answer. */
export async function rawAsk(url: string, data: string | Uint8Array): Promise<RawAnswer> {
  using connection = await RawConnection.to(url);
  return await connection.write(data).answer();
}

/** The lines of a request up to the empty one. */
export function head(first: string, headers: readonly string[]): string {
  return `${first} HTTP/1.1\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`;
}
