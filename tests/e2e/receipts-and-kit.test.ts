import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { differences } from '../support/compare.ts';
import type { Subscriber } from '../support/server.ts';
import { SECRET, World } from '../support/world.ts';

describe('proof and rescue', () => {
  let world: World;
  let subscriber: Subscriber;
  let first: Agent;
  let books: string;

  beforeAll(async () => {
    world = await World.create();
    ({ subscriber, first, books } = await world.household());
    await first.send('Dupont SA');
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it('exports receipts that verify without any server, and not once they were touched', async () => {
    const file = world.path('recus.json');
    await first.json(['receipts', '--export', file]);
    await world.server.stop();
    const stranger = world.computer({}); // no connection, no secret key
    expect(await stranger.json(['receipts', 'verify', file])).toMatchObject({ valid: 2 });
    const text = readFileSync(file, 'utf8');
    const receipts = [...text.matchAll(/"receipt": ?"([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(receipts).toHaveLength(2);
    for (const receipt of receipts) {
      const bytes = Buffer.from(receipt, 'base64');
      bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100);
      writeFileSync(world.path('forged.json'), text.replace(receipt, bytes.toString('base64')));
      const refusal = await stranger.refused(['receipts', 'verify', world.path('forged.json')]);
      expect(refusal).toMatchObject({ exitCode: 10, error: { code: 'integrity' } });
    }
    await world.server.start();
  });

  it('makes a recovery kit that must be typed back, and opens the vault without the secret key', async () => {
    const page = world.path('kit.html');
    const unproved = await first.refused(['kit', 'create', page]);
    expect(unproved).toMatchObject({ exitCode: 2, error: { code: 'usage' } });
    const list = /<ol class="groups">(.*?)<\/ol>/s.exec(readFileSync(page, 'utf8'))?.[1] ?? '';
    const code = list.replaceAll(/<[^>]*>/g, ' ').trim();
    expect(code.replaceAll(/\s/g, '')).toMatch(/^CSKIT1[0-9A-Z]{38,}$/);
    await first.json(['kit', 'create', page, '--typed-back', code]);

    const second = world.computer({ secret: 'une toute nouvelle clé' });
    await second.connect(world.server.url, await world.server.newCode(subscriber.number), 'portable');
    await second.json(['kit', 'use', '--kit-file', page]);
    await second.restore('Dupont SA', '--snapshot', 'latest', '--to', world.path('rescued'));
    expect(differences(books, world.path('rescued'))).toEqual([]);
    const before = first.with({ secret: SECRET });
    expect(await before.refused(['send', 'Dupont SA'])).toMatchObject({ exitCode: 4 }); // the old key is over
    const after = first.with({ secret: 'une toute nouvelle clé' });
    expect(await after.send('Dupont SA')).toMatchObject({ unchanged: true });
  });
});
