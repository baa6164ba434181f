import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Clock } from './clock.ts';
import { ProtocolClient } from './protocol-client.ts';
import type { ServerOptions, Subscriber } from './server.ts';
import { World } from './world.ts';

/** A running server with two subscribers who have nothing to do with each other. Each has a vault and a computer. */
export class Tenants {
  readonly world: World;
  /** What the server and its commands take for the time. */
  readonly clock: Clock;
  readonly a: ProtocolClient;
  readonly b: ProtocolClient;
  readonly subscribers: { readonly a: Subscriber; readonly b: Subscriber };

  private constructor(world: World, clock: Clock, people: Pick<Tenants, 'a' | 'b' | 'subscribers'>) {
    this.world = world;
    this.clock = clock;
    this.a = people.a;
    this.b = people.b;
    this.subscribers = people.subscribers;
  }

  static async create(options: ServerOptions = {}): Promise<Tenants> {
    const env: Record<string, string> = {};
    const world = new World({ ...options, env });
    const clock = new Clock(world.path('clock'));
    Object.assign(env, clock.env, options.env);
    await world.server.start();
    const { server } = world;
    const one = await server.addSubscriber({ name: 'Dupont SA' });
    const two = await server.addSubscriber({ name: 'Rochat Sàrl', email: 'rochat@example.ch' });
    const a = await ProtocolClient.withVault(server.url, one.enrolmentCode, 'poste A');
    const b = await ProtocolClient.withVault(server.url, two.enrolmentCode, 'poste B');
    return new Tenants(world, clock, { a, b, subscribers: { a: one, b: two } });
  }

  get url(): string {
    return this.world.server.url;
  }

  /** The files below the server's bucket, as paths in it. */
  objects(below = ''): string[] {
    const root = join(this.world.server.dataDir, 'blobs', below);
    const entries = readdirSync(root, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => relative(root, join(parentPath, name)));
  }

  /** Uploads that are not finished. */
  temporary(): string[] {
    return this.objects('tmp/');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }
}
