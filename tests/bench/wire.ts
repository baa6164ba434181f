import { cpSync } from 'node:fs';
import { workOneDay } from '../support/books.ts';
import { BadLine } from '../support/tcp-proxy.ts';
import { World } from '../support/world.ts';

/** Bytes that crossed the line, both ways, counted by a proxy between agent and server: nobody's own account. */
export interface Wire {
  readonly initial: Crossing;
  readonly unchanged: Crossing;
  readonly day: Crossing;
  readonly restore: Crossing;
}

export interface Crossing {
  readonly up: number;
  readonly down: number;
}

/** Sends, sends again, lets a day pass, sends and restores through the counting proxy; takes no times. */
export async function countBytesOnTheWire(pristine: string, scale: number): Promise<Wire> {
  await using world = await World.create();
  await using line = await BadLine.to(world.server.url);
  const { enrolmentCode } = await world.server.addSubscriber({ quota: '1000GB' });
  const agent = await world.connected(enrolmentCode, { url: line.url });
  const mandate = world.path('mandate');
  cpSync(pristine, mandate, { recursive: true, preserveTimestamps: true });
  await agent.json(['mandate', 'add', 'Mandat', '--path', mandate]);
  const count = async (work: () => Promise<unknown>): Promise<Crossing> => {
    const { up, down } = line.carried;
    await work();
    return { up: line.carried.up - up, down: line.carried.down - down };
  };
  const initial = await count(() => agent.send('Mandat'));
  const unchanged = await count(() => agent.send('Mandat'));
  workOneDay(mandate, 1, { scale });
  const day = await count(() => agent.send('Mandat'));
  const restore = await count(() => agent.restore('Mandat', '--snapshot', 'latest', '--to', world.path('restored')));
  return { initial, unchanged, day, restore };
}
