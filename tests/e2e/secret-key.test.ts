import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { makeBooks, workOneDay } from '../support/books.ts';
import { differences } from '../support/compare.ts';
import { HostileServer } from '../support/hostile.ts';
import type { Subscriber } from '../support/server.ts';
import { SECRET, World } from '../support/world.ts';

const NEW_SECRET = 'le lynx traverse à minuit';

describe('the secret key', () => {
  let world: World;
  let line: HostileServer;
  let subscriber: Subscriber;
  let first: Agent;
  let books: string;

  beforeAll(async () => {
    world = await World.create();
    line = await HostileServer.before(world.server.url); // honest here: it only listens
    subscriber = await world.server.addSubscriber();
    first = await world.connected(subscriber.enrolmentCode, { url: line.url, typed: true });
    books = world.path('books');
    makeBooks(books, { scale: 0.01 });
    await first.json(['mandate', 'add', 'Dupont SA', '--path', books]);
    await first.send('Dupont SA');
  });
  afterAll(async () => {
    await line[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  it('a wrong one is refused before anything is sent', async () => {
    workOneDay(books, 1, { scale: 0.01 });
    line.reset();
    const refusal = await first.with({ secret: `${SECRET}!` }).refused(['send', 'Dupont SA']);
    expect(refusal).toMatchObject({ exitCode: 4, error: { code: 'wrong-secret' } });
    const changing = line.exchanges.filter(({ asked }) => asked.method !== 'GET');
    expect(changing.map(({ asked }) => `${asked.method} ${asked.path}`)).toEqual([]);
    expect(await first.send('Dupont SA')).toMatchObject({ unchanged: false });
  });

  it('is compared after Unicode normalisation: é typed on another system is the same key', async () => {
    const decomposed = first.with({ secret: SECRET.normalize('NFD') });
    expect(SECRET.normalize('NFD')).not.toBe(SECRET);
    expect(await decomposed.send('Dupont SA')).toMatchObject({ unchanged: true });
  });

  it('can come from a file, and be remembered and forgotten', async () => {
    const silent = first.with({ secret: '' });
    expect(await silent.refused(['send', 'Dupont SA'])).toMatchObject({ exitCode: 2, error: { code: 'usage' } });
    await first.json(['secret', 'remember']);
    expect(await silent.send('Dupont SA')).toMatchObject({ unchanged: true });
    await first.json(['secret', 'forget']);
    expect(await silent.refused(['send', 'Dupont SA'])).toMatchObject({ exitCode: 2 });
    world.write('secret.txt', `${SECRET}\n`);
    expect(await silent.send('Dupont SA', '--secret-file', world.path('secret.txt'))).toMatchObject({
      unchanged: true,
    });
  });

  it('changes, and then only the new one opens the vault, on every computer', async () => {
    const refusal = await first.with({ env: { CRESUS_SAFE_NEW_SECRET: 'court' } }).refused(['secret', 'change']);
    expect(refusal).toMatchObject({ exitCode: 2, error: { code: 'short-secret' } });
    await first.with({ env: { CRESUS_SAFE_NEW_SECRET: NEW_SECRET } }).json(['secret', 'change']);
    expect(await first.refused(['send', 'Dupont SA'])).toMatchObject({ exitCode: 4 });
    expect(await first.with({ secret: NEW_SECRET }).send('Dupont SA')).toMatchObject({ unchanged: true });

    const second = world.computer();
    await second.connect(line.url, await world.server.newCode(subscriber.number), 'portable');
    const target = world.path('restored');
    const restore = ['restore', 'Dupont SA', '--snapshot', 'latest', '--to', target];
    expect(await second.refused(restore)).toMatchObject({ exitCode: 4, error: { code: 'wrong-secret' } });
    await second.with({ secret: NEW_SECRET }).json(restore);
    expect(differences(books, target)).toEqual([]);
  });

  it('was never in a request, nor anything the server keeps', () => {
    for (const { asked } of line.exchanges)
      for (const secret of [SECRET, NEW_SECRET]) {
        expect(asked.body.includes(secret)).toBe(false);
        expect(JSON.stringify(asked.headers) + asked.path).not.toContain(secret);
      }
    expect(line.exchanges.length).toBeGreaterThan(10);
  });
});
