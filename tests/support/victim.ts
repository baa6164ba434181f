import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Home,
  HttpRemote,
  homeAt,
  loadConfig,
  openVault,
  readToken,
  recallRoot,
  unlock,
} from '@cresus-safe/agent';
import { expect } from '@jest/globals';
import type { Agent, Refusal } from './agent.ts';
import { copyTree, describeTree, differences } from './compare.ts';
import { type AnswerHook, HostileServer, type RequestHook } from './hostile.ts';
import { describe } from './process.ts';
import type { Subscriber } from './server.ts';
import { World } from './world.ts';

/** What the server does wrong. */
export interface Lie {
  readonly onRequest?: RequestHook;
  readonly onAnswer?: AnswerHook;
}

/** How the agent must refuse: its exit code with the `error.code` that goes with it. */
export type Verdict = readonly [exitCode: number, code: string];

type Engine = Awaited<ReturnType<typeof openVault>>;

/** Why an attack was not repelled as it must be, said for the failing test. */
class Unrepelled extends Error {
  override readonly name = 'Unrepelled';
}

/**
 * A computer with one small mandate whose only way to the real server leads through one that cheats when it is told to.
 * Every refusal it is asked for is checked for what a hostile server must never get: see `repels`.
 */
export class Victim {
  readonly world: World;
  readonly line: HostileServer;
  readonly subscriber: Subscriber;
  readonly agent: Agent;
  /** The folder of the mandate "Dupont SA". */
  readonly books: string;
  #targets = 0;

  /** @param agent behind `line`, its key remembered */
  constructor(world: World, line: HostileServer, subscriber: Subscriber, agent: Agent) {
    this.world = world;
    this.line = line;
    this.subscriber = subscriber;
    this.agent = agent;
    this.books = world.path('books');
  }

  /** @param make fills the folder of the mandate, which does not exist yet */
  static async create(make: (books: string) => void): Promise<Victim> {
    const world = await World.create();
    const line = await HostileServer.before(world.server.url);
    const subscriber = await world.server.addSubscriber();
    const agent = await world.connected(subscriber.enrolmentCode, { url: line.url });
    const victim = new Victim(world, line, subscriber, agent);
    make(victim.books);
    await agent.json(['mandate', 'add', 'Dupont SA', '--path', victim.books]);
    return victim;
  }

  /** The subscriber's next computer, behind the same server. */
  async another(): Promise<Agent> {
    return this.world.connected(await this.world.server.newCode(this.subscriber.number), { url: this.line.url });
  }

  /** Sends the mandate and keeps a copy of it as it was sent; gives the copy's path. */
  async send(): Promise<string> {
    for (const path of [...describeTree(this.books).keys(), '.']) wholeSeconds(join(this.books, path));
    await this.agent.send('Dupont SA');
    const copy = this.target('sent');
    copyTree(this.books, copy);
    return copy;
  }

  /** The folder of this vault's packs on the server's disk, each under its id. */
  get packFolder(): string {
    const { vaultId = '' } = loadConfig(homeAt(this.agent.home));
    return join(this.world.server.dataDir, 'blobs', 'v', vaultId, 'p');
  }

  /** A path in the world where nothing is. */
  target(name = 'to'): string {
    this.#targets += 1;
    return this.world.path(`${name}-${this.#targets}`);
  }

  lies({ onRequest, onAnswer }: Lie): void {
    this.line.reset();
    if (onRequest !== undefined) this.line.onRequest = onRequest;
    if (onAnswer !== undefined) this.line.onAnswer = onAnswer;
  }

  /**
   * Runs a command against a lie, which must be told at least once, and checks all that a refusal promises: the right
   * exit code with a typed error that names a way out, every file of the user as it was and none new, and a held
   * history, pin and list of mandates that did not move.
   */
  async repels(lie: Lie, args: readonly string[], [exitCode, code]: Verdict, agent = this.agent): Promise<Refusal> {
    const [files, held] = [this.userFiles(), heldBy(agent)];
    this.lies(lie);
    const refusal = await agent.refused(args);
    this.line.check();
    this.line.reset();
    const said = describe(refusal.finished);
    if (refusal.exitCode !== exitCode || refusal.error.code !== code)
      throw new Unrepelled(`${args.join(' ')}: expected ${exitCode} ${code}, but it ${said}`);
    if (!refusal.error.hint) throw new Unrepelled(`${args.join(' ')} gives no way out: it ${said}`);
    expect(this.userFiles()).toEqual(files);
    expect(heldBy(agent)).toEqual(held);
    return refusal;
  }

  /** The honest server afterwards: the snapshot restores byte for byte to a new folder, which is removed again. */
  async restores(sent: string, snapshot = 'latest', agent = this.agent): Promise<void> {
    this.line.reset();
    const target = this.target();
    await agent.restore('Dupont SA', '--snapshot', snapshot, '--to', target);
    expect(differences(sent, target)).toEqual([]);
    rmSync(target, { recursive: true });
  }

  /** Every file of the world that is neither the server's nor in the agent's own home folders. */
  userFiles(): Map<string, string> {
    const all = describeTree(this.world.dir, { times: false });
    return new Map([...all].filter(([path]) => !/^server|^computer-\d+\/cresus-safe\/|^clock/.test(path)));
  }

  /**
   * The agent's engine in this process, on the home folder of `agent`, behind the same server and with little patience:
   * for hundreds of cases that would take a process each.
   */
  async engine(agent = this.agent, stallMs = 2000): Promise<{ vault: Engine; home: Home; remote: HttpRemote }> {
    process.env['CRESUS_SAFE_KEYRING'] = 'file'; // as for the processes: never the keyring of whoever runs the tests
    const home = homeAt(agent.home);
    const config = loadConfig(home);
    const remembered = await recallRoot(home);
    if (remembered === undefined) throw new Error('this computer does not remember its key');
    const patience = { totalMs: 4000, baseMs: 5 };
    const remote = new HttpRemote({ url: config.server.url, token: readToken(home), stallMs, patience });
    const common = { dir: home.vault, remote, deviceId: config.deviceId, warn: () => undefined };
    const { keys } = await unlock({ ...common, opener: { root: remembered.root } });
    const { server } = config;
    const vault = await openVault({ ...common, keys, server, now: Date.now, mode: 'read' });
    return { vault, home, remote };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.line[Symbol.asyncDispose]();
    await this.world[Symbol.asyncDispose]();
  }
}

/** `cpSync` hands times on as a double of seconds, which loses microseconds. */
function wholeSeconds(path: string): void {
  const seconds = Math.floor(statSync(path).mtimeMs / 1000);
  utimesSync(path, seconds, seconds);
}

/** Digests of what a computer holds against the server and would rely on: none of it may move by a lie. */
export function heldBy(agent: Agent): Record<string, string> {
  const caches = join('vault', 'mandates');
  const catalogs = existsSync(join(agent.home, caches))
    ? readdirSync(join(agent.home, caches)).map((ref) => join(caches, ref, 'files.cat'))
    : [];
  const names = ['mandates.json', 'vault/history.log', 'vault/pin.json', 'vault/header.bin', ...catalogs];
  const held = names.map((name) => join(agent.home, name)).filter((path) => existsSync(path));
  return Object.fromEntries(held.map((path) => [path, createHash('sha256').update(readFileSync(path)).digest('hex')]));
}
