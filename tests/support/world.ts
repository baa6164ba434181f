import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, type AgentOptions } from './agent.ts';
import { type BooksSize, makeBooks } from './books.ts';
import { SafeServer, type ServerOptions, type Subscriber } from './server.ts';

export interface ConnectOptions {
  /** Where the computer finds the server: a proxy in front of it, for example. */
  readonly url?: string;
  readonly secret?: string;
  readonly typed?: boolean;
}

export const SECRET = 'bouclement-2026 été';

/** A temporary folder with a running server, computers and mandates in it; everything goes when it is disposed of. */
export class World {
  readonly dir: string;
  readonly server: SafeServer;
  #computers = 0;

  constructor(options: ServerOptions = {}) {
    this.dir = mkdtempSync(join(tmpdir(), 'cresus-safe-test-'));
    this.server = new SafeServer(join(this.dir, 'server'), options);
  }

  static async create(options: ServerOptions = {}): Promise<World> {
    const world = new World(options);
    await world.server.start();
    return world;
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  /** Writes a file of this world and gives its path. */
  write(name: string, content: string): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  /** A computer that has never heard of the Safe. */
  computer(options: AgentOptions = { secret: SECRET }): Agent {
    this.#computers += 1;
    return new Agent(this.path(`computer-${this.#computers}`, 'cresus-safe'), options);
  }

  /**
   * A computer that is enrolled with `code` and holds the vault's key (the first one creates the vault). The key is
   * remembered there: deriving it takes a second each time. `typed` leaves that to the commands.
   */
  async connected(code: string, options: ConnectOptions = {}): Promise<Agent> {
    const { url = this.server.url, secret = SECRET, typed = false } = options;
    const computer = this.computer({ secret });
    const { vault } = await computer.connect(url, code, `poste ${this.#computers}`);
    if (vault === 'none') await computer.json(['secret', 'set']);
    if (typed) return computer;
    await computer.json(['secret', 'remember']);
    return new Agent(computer.home);
  }

  /** A subscriber with a first computer and one small mandate on it, not sent yet. */
  async household({ scale = 0.01 }: BooksSize = {}): Promise<{ subscriber: Subscriber; first: Agent; books: string }> {
    const subscriber = await this.server.addSubscriber();
    const first = await this.connected(subscriber.enrolmentCode);
    const books = this.path(`books-${subscriber.number}`);
    makeBooks(books, { scale });
    await first.json(['mandate', 'add', 'Dupont SA', '--path', books]);
    return { subscriber, first, books };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
