import { execFileSync } from 'node:child_process';
import { cpSync, lstatSync, lutimesSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Agent, type SentSnapshot } from './agent.ts';
import { type Acknowledged, checkInvariants, temporaryFiles, withVault } from './invariants.ts';
import { noise } from './noise.ts';
import type { ServerOptions, Subscriber } from './server.ts';
import { SECRET, World } from './world.ts';

export const MANDATE = 'Dupont SA';
const CANARY = 'Canari Duvanel, loyer impayé de novembre';

/**
 * A computer with one tiny mandate that faults happen to, a clone of it that watches, and a record of
 * everything the server acknowledged. `holds` is what must be true after every fault.
 */
export class Patient {
  readonly world: World;
  readonly subscriber: Subscriber;
  readonly agent: Agent;
  readonly watcher: Agent;
  readonly books: string;
  readonly acknowledged: Acknowledged[] = [];
  #changes = 0;
  #copies = 0;

  private constructor(world: World, subscriber: Subscriber, computers: { agent: Agent; watcher: Agent }) {
    this.world = world;
    this.subscriber = subscriber;
    this.agent = computers.agent;
    this.watcher = computers.watcher;
    this.books = world.path('books');
  }

  /** @param url where the first computer finds the server: a proxy, for instance */
  static async create(options: ServerOptions = {}, reach: (url: string) => Promise<string> = async (url) => url) {
    const world = await World.create(options);
    const subscriber = await world.server.addSubscriber();
    const temporary = world.path('tmp');
    mkdirSync(temporary);
    const url = await reach(world.server.url);
    const connected = await world.connected(subscriber.enrolmentCode, { url });
    const agent = connected.with({ env: { TMPDIR: temporary } });
    // a clone that only ever looks: enrolling another device would cost two derivations of the key
    const watcher = new Agent(world.path('watcher', 'cresus-safe'));
    cpSync(agent.home, watcher.home, { recursive: true });
    const patient = new Patient(world, subscriber, { agent, watcher });
    patient.#makeBooks();
    await agent.json(['mandate', 'add', MANDATE, '--path', patient.books]);
    return patient;
  }

  #makeBooks(): void {
    mkdirSync(join(this.books, 'documents/vide'), { recursive: true });
    writeFileSync(join(this.books, 'livre.cre'), Buffer.concat([Buffer.from(CANARY), noise('livre', 60_000)]));
    writeFileSync(join(this.books, 'rien'), '');
  }

  /** A day's work: pages of the books change, a document is added. @param bytes of that document, which compress badly */
  work(bytes = 3000): void {
    this.#changes += 1;
    const book = readFileSync(join(this.books, 'livre.cre'));
    noise(`jour ${this.#changes}`, 500).copy(book, 1000 + ((this.#changes * 4099) % 50_000));
    writeFileSync(join(this.books, 'livre.cre'), book);
    const text = Buffer.from(`${CANARY} ${this.#changes}\n`);
    const document = Buffer.concat([text, noise(`document ${this.#changes}`, bytes)]);
    writeFileSync(join(this.books, 'documents', `piece-${this.#changes}.txt`), document);
    settle(this.books);
  }

  /** A copy of the mandate (or of another folder) as it is now. */
  copy(folder = this.books): string {
    settle(folder);
    this.#copies += 1;
    const to = this.world.path(`copy-${this.#copies}`);
    execFileSync('cp', ['-a', folder, to]); // fs.cp rounds times to less than a µs
    return to;
  }

  /** I6: the same command without the fault converges, by itself, to one snapshot of what is on the disk. */
  async converges(agent = this.agent): Promise<SentSnapshot> {
    const copy = this.copy();
    const sent = await agent.send(MANDATE);
    if (!this.acknowledged.some(({ id }) => id === sent.id)) this.acknowledged.push({ id: sent.id, copy });
    const [listed, known] = [await this.snapshots(), this.acknowledged.map(({ id }) => id).sort()];
    if (listed.join() !== known.join())
      throw new Error(`I6 the Safe lists ${listed.length} snapshots, ${known.length} were made:\n${listed}\n${known}`);
    const left = temporaryFiles(agent.home);
    if (left.length > 0) throw new Error(`I8 left: ${left.join(' ')}`);
    return sent;
  }

  /** Ids of the snapshots that the server has, sorted, as the watching computer sees them. */
  snapshots(): Promise<string[]> {
    return withVault(this.watcher, async (vault) =>
      vault
        .snapshots()
        .map(({ id }): string => id)
        .sort(),
    );
  }

  /** I1, I2, I5, I7, I8. @param restored which snapshots are restored and compared: the newest, or all */
  async holds(restored: 'newest' | 'all' = 'newest'): Promise<void> {
    const { world, agent, watcher, acknowledged } = this;
    await checkInvariants({
      dataDir: world.server.dataDir,
      ...{ agent, watcher, acknowledged },
      restored: restored === 'all' ? acknowledged : acknowledged.slice(-1),
      scratch: world.path('scratch'),
      canaries: [CANARY, SECRET],
      temporary: world.path('tmp'),
    });
    const beside = readdirSync(dirname(this.books)).filter((name) => name.startsWith('.cresus-safe-'));
    if (beside.length > 0) throw new Error(`I8 staging left: ${beside.join(' ')}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }
}

/**
 * Sets times a quarter of a µs past a whole one where they are not near it. Node tells times as doubles, which are off by
 * an eighth of a µs today: of a time just below a whole µs the agent and a comparison in ns see two different ones.
 */
export function settle(folder: string): void {
  for (const path of ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })].map((name) =>
    join(folder, name),
  )) {
    const { mtimeNs } = lstatSync(path, { bigint: true });
    const part = mtimeNs % 1000n;
    if (part >= 100n && part <= 400n) continue;
    const seconds = (Number(mtimeNs / 1000n) + 0.25) / 1e6;
    lutimesSync(path, seconds, seconds);
  }
}
