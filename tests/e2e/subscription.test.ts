import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { workOneDay } from '../support/books.ts';
import { differences } from '../support/compare.ts';
import type { Subscriber } from '../support/server.ts';
import { World } from '../support/world.ts';

describe('a subscription that ends', () => {
  let world: World;
  let subscriber: Subscriber;
  let first: Agent;
  let books: string;
  const extend = (until: string) =>
    world.server.operateJson('subscriber', 'extend', subscriber.number, '--until', until);
  const daysFromNow = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);

  beforeAll(async () => {
    world = await World.create();
    ({ subscriber, first, books } = await world.household());
    await first.send('Dupont SA');
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it('still sends in the days of grace, and says so', async () => {
    await extend(daysFromNow(-5));
    workOneDay(books, 1, { scale: 0.01 });
    expect(await first.send('Dupont SA')).toMatchObject({ unchanged: false });
    const status = await first.json<{ subscription: unknown; warnings: { code: string }[] }>(['status']);
    expect(status.subscription).toMatchObject({ state: 'grace', expiresOn: daysFromNow(-5) });
    expect(status.warnings.map(({ code }) => code).join()).toMatch(/subscription|grace|expire/);
  });

  it('refuses to send afterwards, with the date and a way out, and leaves the mandate alone', async () => {
    await extend(daysFromNow(-60));
    workOneDay(books, 2, { scale: 0.01 });
    const { exitCode, error } = await first.refused(['send', 'Dupont SA']);
    expect({ exitCode, code: error.code }).toEqual({ exitCode: 5, code: 'subscription-expired' });
    const [year, month, day] = daysFromNow(-60).split('-');
    expect(error.message).toContain(`${day}.${month}.${year}`);
    expect(error.hint).toBeTruthy();
  });

  it('restores as ever', async () => {
    await first.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('restored'));
    expect(differences(books, world.path('restored'), { times: false })).not.toEqual([]); // day 2 was never sent
    const second = world.computer();
    await second.connect(world.server.url, await world.server.newCode(subscriber.number));
    await second.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('restored-2'));
    expect(differences(world.path('restored'), world.path('restored-2'))).toEqual([]);
  });

  it('sends again once it is extended', async () => {
    await extend('2050-12-31');
    expect(await first.send('Dupont SA')).toMatchObject({ unchanged: false, problems: [] });
  });

  it('when suspended, restores and does not send', async () => {
    await world.server.operateJson('subscriber', 'suspend', subscriber.number);
    workOneDay(books, 3, { scale: 0.01 });
    expect(await first.refused(['send', 'Dupont SA'])).toMatchObject({ exitCode: 5, error: { code: 'suspended' } });
    await first.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('while-suspended'));
    await world.server.operateJson('subscriber', 'resume', subscriber.number);
    expect(await first.send('Dupont SA')).toMatchObject({ unchanged: false });
  });

  it('over its quota, sends nothing more, and restores', async () => {
    await world.server.operateJson('subscriber', 'set', subscriber.number, '--quota', '1MB');
    workOneDay(books, 4, { scale: 0.01 });
    expect(await first.refused(['send', 'Dupont SA'])).toMatchObject({ exitCode: 6, error: { code: 'quota' } });
    await first.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('over-quota'));
    await world.server.operateJson('subscriber', 'set', subscriber.number, '--quota', '1GB');
    expect(await first.send('Dupont SA')).toMatchObject({ unchanged: false });
  });
});
