import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent, Listed, SentSnapshot, Verified } from '../support/agent.ts';
import { workOneDay } from '../support/books.ts';
import { copyTree, differences, sizeOf } from '../support/compare.ts';
import type { Subscriber } from '../support/server.ts';
import { World } from '../support/world.ts';

describe('from a first computer to a second one', () => {
  let world: World;
  let subscriber: Subscriber;
  let first: Agent;
  let second: Agent;
  let books: string;
  let monday: SentSnapshot;
  let tuesday: SentSnapshot;

  beforeAll(async () => {
    world = await World.create();
    ({ subscriber, first, books } = await world.household({ scale: 0.05 }));
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it('sends the whole mandate once, with a receipt', async () => {
    monday = await first.send('Dupont SA', '--comment', 'avant bouclement');
    const { files, bytes } = sizeOf(books);
    expect(monday).toMatchObject({
      mandate: 'Dupont SA',
      files,
      bytes,
      problems: [],
      unchanged: false,
    });
    // a chunk or two may be found twice in the books, which ones depends on the vault's key
    expect(monday.newBytes).toBeGreaterThan(bytes * 0.99);
    expect(monday.newBytes).toBeLessThanOrEqual(bytes);
    expect(monday.sentBytes).toBeGreaterThan(bytes / 3);
    expect(monday.sentBytes).toBeLessThan(bytes);
    expect(monday.receipt).toMatchObject({ seq: monday.seq });
  });

  it('sends nothing and makes no snapshot when nothing has changed', async () => {
    const again = await first.send('Dupont SA');
    expect(again).toMatchObject({ unchanged: true, sentBytes: 0, newBytes: 0 });
    const { snapshots } = await first.json<Listed>(['snapshots', 'Dupont SA']);
    expect(snapshots.map(({ id }) => id)).toEqual([monday.id]);
  });

  it('keeps a comment given to an unchanged mandate as a snapshot of its own', async () => {
    const noted = await first.send('Dupont SA', '--comment', 'relu par la fiduciaire');
    expect(noted.id).not.toBe(monday.id);
    expect(noted.newBytes).toBe(0);
    const { snapshots } = await first.json<Listed>(['snapshots', 'Dupont SA']);
    expect(snapshots.map(({ comment }) => comment).sort()).toEqual(['avant bouclement', 'relu par la fiduciaire']);
  });

  it('sends a day of work in a fraction of the first send', async () => {
    copyTree(books, world.path('monday'));
    workOneDay(books, 1, { scale: 0.05 });
    tuesday = await first.send('Dupont SA');
    expect(tuesday.unchangedFiles).toBeGreaterThan(10);
    expect(tuesday.newBytes).toBeLessThan(monday.newBytes / 2);
    expect(tuesday.sentBytes).toBeLessThan(monday.sentBytes / 2);
  });

  it('lists the history newest first, and the details of one snapshot', async () => {
    const { snapshots } = await first.json<Listed>(['snapshots', 'Dupont SA']);
    expect(snapshots.map(({ seq }) => seq)).toEqual([...snapshots.map(({ seq }) => seq)].sort((a, b) => b - a));
    expect(snapshots).toHaveLength(3);
    const shown = await first.json<Record<string, unknown>>(['show', monday.id.slice(0, 12)]);
    expect(shown).toMatchObject({ id: monday.id, comment: 'avant bouclement', files: monday.files });
  });

  it('restores every byte on a second computer that has a code and the secret key, and nothing else', async () => {
    second = world.computer();
    const connected = await second.connect(world.server.url, await world.server.newCode(subscriber.number), 'portable');
    expect(connected).toMatchObject({ vault: 'exists', subscription: { state: 'active', expiresOn: '2050-12-31' } });
    const target = world.path('restored');
    const restored = await second.restore('Dupont SA', '--snapshot', 'latest', '--to', target);
    expect(restored).toMatchObject({ target, verified: true, ...sizeOf(books) });
    expect(differences(books, target)).toEqual([]);
  });

  it('restores an older day as it was', async () => {
    const target = world.path('restored-monday');
    await second.restore('Dupont SA', '--snapshot', monday.id, '--to', target);
    expect(differences(world.path('monday'), target)).toEqual([]);
  });

  it('goes on with the mandate on the second computer, once its owner vouches for the history', async () => {
    const folder = world.path('restored');
    const refusal = await second.refused(['mandate', 'add', 'Dupont SA', '--path', folder]);
    expect(refusal).toMatchObject({ exitCode: 2, error: { code: 'usage' } });
    await second.json(['mandate', 'add', 'Dupont SA', '--path', folder, '--same-as', 'Dupont SA']);
    expect(await second.refused(['send', 'Dupont SA'])).toMatchObject({
      exitCode: 8,
      error: { code: 'acceptance-missing' },
    });
    const { headCode } = await first.json<{ headCode: string }>(['anchor']);
    expect(await second.json(['anchor', headCode])).toMatchObject({ headCode });
    workOneDay(folder, 2, { scale: 0.05 });
    const wednesday = await second.send('Dupont SA');
    expect(wednesday.newBytes).toBeLessThan(tuesday.bytes / 2); // it knows the chunks of what it restored
    const { snapshots } = await first.json<Listed>(['snapshots', 'Dupont SA']);
    expect(snapshots.map(({ id }) => id)).toContain(wednesday.id);
    await first.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('back-on-first'));
    expect(differences(folder, world.path('back-on-first'))).toEqual([]);
  });

  it('verifies all that is stored, and lists both computers', async () => {
    const { checked, problems } = await first.json<Verified>(['verify', '--full']);
    expect(problems).toEqual([]);
    expect(checked.snapshots).toBe(4);
    expect(checked.packs).toBeGreaterThan(1);
    const { devices } = await first.json<{ devices: { name: string }[] }>(['devices']);
    expect(devices.map(({ name }) => name).sort()).toEqual(['portable', 'poste 1']);
  });

  it('keeps its promises after the server was killed and started again', async () => {
    await world.server.stop('SIGKILL');
    await world.server.start();
    await first.restore('Dupont SA', '--snapshot', tuesday.id, '--to', world.path('after-kill'));
    expect(existsSync(world.path('after-kill/comptabilite.cre'))).toBe(true);
    expect((await first.send('Dupont SA')).problems).toEqual([]);
  });
});
