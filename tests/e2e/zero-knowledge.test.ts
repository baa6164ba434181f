import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Exchange, HostileServer } from '../support/hostile.ts';
import { World } from '../support/world.ts';

const CANARY = {
  mandate: 'Canari Mandat',
  folder: 'dossier-canari',
  file: 'canari-fichier.txt',
  content: 'canari-contenu-7f3a',
  comment: 'canari-commentaire',
  secret: 'canari-clé-secrète-91',
  newSecret: 'canari-nouvelle-clé-37',
} as const;

/** How a word may show: as it is, in the encodings that programs put text into, and by its first half alone. */
function disguises(word: string): Buffer[] {
  const bytes = Buffer.from(word);
  const base64 = [0, 1, 2].map((lead) =>
    // the three ways in which base64 may fall on the word, without the digits its neighbours share
    Buffer.concat([Buffer.alloc(lead), bytes])
      .toString('base64')
      .slice(lead === 0 ? 0 : lead + 1, -4),
  );
  const texts = [bytes.toString('hex'), bytes.toString('hex').toUpperCase(), encodeURIComponent(word), ...base64];
  return [
    bytes,
    Buffer.from(word, 'utf16le'),
    Buffer.from(word.normalize('NFD')),
    ...texts.map((text) => Buffer.from(text)),
  ];
}

describe('the server knows nothing', () => {
  let world: World;
  let line: HostileServer;
  let exchanges: Exchange[];

  beforeAll(async () => {
    world = await World.create({ env: { SAFE_LOG_LEVEL: 'trace' } });
    line = await HostileServer.before(world.server.url);
    const subscriber = await world.server.addSubscriber();
    const books = world.path(CANARY.folder);
    mkdirSync(join(books, CANARY.folder), { recursive: true });
    writeFileSync(join(books, CANARY.folder, CANARY.file), `${CANARY.content}\n`);
    writeFileSync(join(books, 'compta.cre'), `${CANARY.content} `.repeat(2_000));
    const { secret } = CANARY;
    const first = await world.connected(subscriber.enrolmentCode, { url: line.url, secret, typed: true });
    await first.json(['mandate', 'add', CANARY.mandate, '--path', books]);
    await first.send(CANARY.mandate, '--comment', CANARY.comment);
    writeFileSync(join(books, CANARY.file), CANARY.content);
    await first.send(CANARY.mandate);
    await first.json(['snapshots', CANARY.mandate]);
    await first.with({ secret: 'une clé qui est fausse' }).refused(['send', CANARY.mandate]);
    await first.with({ env: { CRESUS_SAFE_NEW_SECRET: CANARY.newSecret } }).json(['secret', 'change']);
    const second = world.computer({ secret: CANARY.newSecret });
    await second.connect(line.url, await world.server.newCode(subscriber.number), 'portable');
    await second.restore(CANARY.mandate, '--snapshot', 'latest', '--to', world.path('restored'));
    await second.json(['verify', '--full']);
    expect(readFileSync(world.path('restored', CANARY.file), 'utf8')).toBe(CANARY.content);
    await world.server.stop(); // so that the database's own log is in its file
    exchanges = [...line.exchanges];
  });
  afterAll(async () => {
    await line[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  const everything = function* (): Generator<[where: string, bytes: Buffer]> {
    for (const { asked, answer } of exchanges) {
      const where = `${asked.method} ${asked.path}`;
      yield [`${where}, headers`, Buffer.from(JSON.stringify([asked.path, asked.headers, answer?.headers]))];
      yield [`${where}, body`, asked.body];
      yield [`${where}, answer`, answer?.body ?? Buffer.alloc(0)];
    }
    for (const entry of readdirSync(world.dir, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      if (entry.isFile() && file.startsWith(world.server.dataDir)) yield [file, readFileSync(file)];
      if (file.startsWith(world.server.dataDir)) yield ['a name', Buffer.from(file)];
    }
    yield ['the log', Buffer.from(world.server.log)];
  };

  it.each(Object.entries(CANARY))('no %s in requests, answers, database, blobs, logs', (_, word) => {
    const hidden = disguises(word);
    let [bytes, places] = [0, 0];
    for (const [where, content] of everything()) {
      places += 1;
      bytes += content.length;
      for (const disguise of hidden) if (content.includes(disguise)) throw new Error(`${word} in ${where}`);
    }
    expect(places).toBeGreaterThan(60);
    expect(bytes).toBeGreaterThan(1_000_000);
  });

  it('the search itself finds what is there', () => {
    const planted = Buffer.concat([Buffer.from('xy'), Buffer.from(CANARY.content), Buffer.from('z!')]);
    for (const lead of [0, 1, 2]) {
      const text = Buffer.from(planted.subarray(lead).toString('base64'));
      expect(disguises(CANARY.content).some((disguise) => text.includes(disguise))).toBe(true);
    }
    expect([...everything()].some(([, content]) => content.includes('portable'))).toBe(true); // device names it knows
  });

  it('sees sizes in steps of 256 KiB only', () => {
    const packs = exchanges.filter(({ asked }) => asked.method === 'PUT');
    expect(packs.length).toBeGreaterThan(1);
    for (const { asked } of packs) expect(asked.body.length % (256 * 1024)).toBe(0);
  });

  it('never gets a ranged or partial download of a pack: which part is wanted would tell', () => {
    const downloads = exchanges.filter(({ asked }) => asked.method === 'GET' && asked.path.startsWith('/v1/packs/'));
    expect(downloads.length).toBeGreaterThan(0);
    for (const { asked, answer } of downloads) expect([asked.headers.range, answer?.status]).toEqual([undefined, 200]);
  });
});
