import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';

export type Direction = 'up' | 'down';

/** What goes wrong, for connections that are open and for new ones, until the next `set`. */
export interface Weather {
  /** Delay each way. */
  readonly latencyMs?: number;
  /** Each way, a connection. */
  readonly bytesPerSecond?: number;
  /** Nothing passes (that way), nothing is closed: a half-open connection. */
  readonly hang?: boolean | Direction;
  /**
   * Ends a connection once `after` more bytes went that way since `set`: `down` after 0 lets the request through and
   * loses its answer. Happens to `times` connections, all by default.
   */
  readonly cut?: {
    readonly way: Direction;
    readonly after: number;
    readonly how?: 'reset' | 'end';
    readonly times?: number;
  };
  /** Flips the lowest bit of the byte at `at` since `set`, on one connection. */
  readonly flip?: { readonly way: Direction; readonly at: number };
}

interface Pair {
  readonly sockets: readonly [Socket, Socket];
  isGone: boolean;
}

interface Lane {
  readonly way: Direction;
  passed: number;
  season: number;
  isMarked: boolean;
}

/** A bad line between agent and server: a TCP proxy on loopback with faults to switch on and off. */
export class BadLine {
  /** Bytes that went through each way, and connections, since the start. */
  readonly carried = { up: 0, down: 0, connections: 0, cut: 0 };
  readonly #target: { readonly host: string; readonly port: number };
  readonly #open = new Map<Socket, Pair>();
  #listener = net.createServer();
  #port = 0;
  #weather: Weather = {};
  #season = 0;
  #cutsLeft = 0;
  #flipsLeft = 0;
  #wake: (() => void)[] = [];

  private constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#target = { host: hostname, port: Number(port) };
  }

  static async to(target: string): Promise<BadLine> {
    const line = new BadLine(target);
    await line.accept();
    return line;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  set(weather: Weather): void {
    this.#weather = weather;
    this.#season += 1;
    this.#cutsLeft = weather.cut === undefined ? 0 : (weather.cut.times ?? Number.POSITIVE_INFINITY);
    this.#flipsLeft = weather.flip === undefined ? 0 : 1;
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Ends every open connection with RST. */
  resetAll(): void {
    for (const socket of this.#open.keys()) socket.resetAndDestroy();
  }

  /**
   * Every open connection is half open from now on: what comes is swallowed, and neither side ever hears that the other
   * is gone, or that it closed. New connections are not concerned.
   */
  vanish(): void {
    for (const pair of this.#open.values()) pair.isGone = true;
  }

  /** Stops listening (ECONNREFUSED) and resets what is open. */
  async refuse(): Promise<void> {
    const closed = new Promise((resolve) => this.#listener.close(resolve));
    this.resetAll();
    await closed;
  }

  /** Listens again, on the same port. */
  async accept(): Promise<void> {
    this.#listener = net.createServer({ allowHalfOpen: true }, (client) => this.#join(client));
    this.#listener.listen(this.#port, '127.0.0.1');
    await once(this.#listener, 'listening');
    this.#port = (this.#listener.address() as AddressInfo).port;
  }

  #join(client: Socket): void {
    this.carried.connections += 1;
    const server = net.connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    client.setNoDelay(true);
    const pair: Pair = { sockets: [client, server], isGone: false };
    for (const socket of pair.sockets) {
      this.#open.set(socket, pair);
      socket.on('error', () => undefined); // the other side hears of it by 'close'
      socket.on('close', () => {
        this.#open.delete(socket);
        if (!pair.isGone) for (const other of pair.sockets) if (!other.destroyed) other.resetAndDestroy();
        for (const wake of this.#wake.splice(0)) wake();
      });
    }
    const pass = (from: Socket, to: Socket, way: Direction): void => {
      this.#carry(pair, from, to, { way, passed: 0, season: -1, isMarked: false }).catch(() => from.destroy());
    };
    pass(client, server, 'up');
    pass(server, client, 'down');
  }

  async #carry(pair: Pair, from: Socket, to: Socket, lane: Lane): Promise<void> {
    for await (const piece of from) {
      await this.#hold(lane.way, to, (piece as Buffer).length);
      if (to.destroyed && !pair.isGone) return;
      if (pair.isGone) continue;
      const { data, isLast } = this.#spoil(piece as Buffer, lane);
      this.carried[lane.way] += data.length;
      if (data.length > 0 && !to.write(data)) await drained(to);
      if (!isLast) continue;
      this.carried.cut += 1;
      for (const socket of [from, to]) this.#weather.cut?.how === 'end' ? socket.end() : socket.resetAndDestroy();
      return;
    }
    if (!to.destroyed && !pair.isGone) to.end();
  }

  /** Waits as the weather says; order holds, because a lane carries one piece at a time. */
  async #hold(way: Direction, to: Socket, bytes: number): Promise<void> {
    while ((this.#weather.hang === true || this.#weather.hang === way) && !to.destroyed)
      await new Promise<void>((wake) => this.#wake.push(wake));
    const { latencyMs = 0, bytesPerSecond } = this.#weather;
    const wait = latencyMs + (bytesPerSecond === undefined ? 0 : (bytes / bytesPerSecond) * 1_000);
    if (wait > 0) await new Promise((resume) => setTimeout(resume, wait));
  }

  #spoil(piece: Buffer, lane: Lane): { data: Buffer; isLast: boolean } {
    const { cut, flip } = this.#weather;
    if (lane.season !== this.#season) {
      lane.season = this.#season;
      lane.passed = 0;
      lane.isMarked = cut?.way === lane.way && this.#cutsLeft > 0;
      if (lane.isMarked) this.#cutsLeft -= 1;
    }
    let data = piece;
    const at = flip === undefined ? -1 : flip.at - lane.passed;
    if (flip?.way === lane.way && this.#flipsLeft > 0 && at >= 0 && at < piece.length) {
      this.#flipsLeft -= 1;
      data = Buffer.from(piece);
      data.writeUInt8(data.readUInt8(at) ^ 1, at);
    }
    const room = lane.isMarked && cut !== undefined ? cut.after - lane.passed : Number.POSITIVE_INFINITY;
    lane.passed += piece.length;
    return piece.length >= room ? { data: data.subarray(0, room), isLast: true } : { data, isLast: false };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.refuse();
  }
}

/** Waits until there is room, or nobody to send to; whichever does not come leaves no listener behind. */
function drained(to: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      to.off('drain', done).off('close', done);
      resolve();
    };
    to.on('drain', done).on('close', done);
  });
}
