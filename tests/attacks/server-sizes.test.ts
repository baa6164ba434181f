import { appendFileSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACK_GRANULE_BYTES, packIdOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type Exchange, json, problem } from '../support/hostile.ts';
import { noise } from '../support/noise.ts';
import { Victim } from '../support/victim.ts';

jest.setTimeout(300_000); // dozens of processes, on a busy machine too

let victim: Victim;
/** Every pack that was ever offered to the server, also those it refused or lost. */
const offered: Buffer[] = [];

function makeBooks(books: string): void {
  mkdirSync(books);
  writeFileSync(join(books, 'comptabilite.cre'), noise('books', 900_000));
}

beforeAll(async () => {
  victim = await Victim.create(makeBooks);
});
afterAll(() => victim[Symbol.asyncDispose]());

/** Sends, and gives the sizes of the packs that the server saw, with all that it was asked. */
async function day(): Promise<{ sizes: number[]; sentBytes: number; newBytes: number; exchanges: Exchange[] }> {
  victim.line.reset();
  const { sentBytes, newBytes } = await victim.agent.send('Dupont SA');
  const exchanges = [...victim.line.exchanges];
  const bodies = exchanges.filter(({ asked }) => asked.method === 'PUT').map(({ asked }) => asked.body);
  offered.push(...bodies);
  return { sizes: bodies.map(({ length }) => length), sentBytes, newBytes, exchanges };
}

describe('what sizes tell the server', () => {
  it('MS-45 every pack is a multiple of 256 KiB, and 16 KB planted on a quiet day do not change its size', async () => {
    const first = await day();
    appendFileSync(join(victim.books, 'comptabilite.cre'), 'une écriture');
    const quiet = await day();
    appendFileSync(join(victim.books, 'comptabilite.cre'), 'une autre');
    writeFileSync(join(victim.books, 'plante.pdf'), noise('planted', 16 * 1024));
    const planted = await day();
    expect(planted.sizes).toEqual(quiet.sizes);
    expect(quiet.sizes).toEqual([PACK_GRANULE_BYTES]);
    for (const size of [...first.sizes, ...quiet.sizes]) expect(size % PACK_GRANULE_BYTES).toBe(0);
  });

  it('MS-45 a known file is not told by its size: what is stored grows in steps, and packs are fetched whole', async () => {
    writeFileSync(join(victim.books, 'connu.bin'), noise('known', 700_001));
    const known = await day();
    rmSync(join(victim.books, 'connu.bin'));
    writeFileSync(join(victim.books, 'autre.bin'), noise('other', 700_300));
    expect((await day()).sizes).toEqual(known.sizes);
    victim.line.reset();
    const target = victim.target();
    await victim.agent.restore('Dupont SA', '--snapshot', 'latest', '--to', target);
    const downloads = victim.line.exchanges.filter(({ asked }) => asked.path.startsWith('/v1/packs/'));
    expect(downloads.length).toBeGreaterThan(2);
    for (const { asked, answer } of downloads) {
      expect([asked.method, asked.headers.range, answer?.status]).toEqual(['GET', undefined, 200]);
      expect(Number(answer?.body.length) % PACK_GRANULE_BYTES).toBe(0);
    }
    rmSync(target, { recursive: true });
  });

  it('R-10 the books under another name, as if mailed in, are stored anew: nothing tells that they are known', async () => {
    const books = join(victim.books, 'comptabilite.cre');
    const copy = join(victim.books, 'x.cre');
    copyFileSync(books, copy);
    const probed = await day();
    expect(probed.newBytes).toBeGreaterThanOrEqual(readFileSync(copy).length);
    rmSync(copy);
    await day();
    writeFileSync(join(victim.books, 'y.cre'), noise('unknown', readFileSync(books).length));
    expect((await day()).sizes).toEqual(probed.sizes);
  });

  it('R-04 no key and nonce meet two plaintexts: a salt comes back with the very same bytes only', async () => {
    let attempts = 0;
    writeFileSync(join(victim.books, 'retry.pdf'), noise('retry', 50_000));
    victim.lies({
      onRequest: ({ method, body }) => {
        if (method !== 'PUT') return undefined;
        offered.push(body);
        attempts += 1;
        if (attempts === 1) return problem(500, 'internal');
        // said to be stored and thrown away: the agent must seal it anew, under another salt
        return attempts === 2 ? json({}, 201) : undefined;
      },
    });
    await victim.agent.send('Dupont SA');
    victim.line.check();
    expect(offered.length).toBeGreaterThan(8);
    const bySalt = Map.groupBy(offered, (pack) => pack.toString('hex', 44, 76));
    const names = [...bySalt.values()].map((packs) => new Set(packs.map((pack) => packIdOf(pack))).size);
    expect(names).toEqual(names.map(() => 1));
    expect(attempts).toBe(3);
    const [once, again, anew] = offered.slice(-3) as [Buffer, Buffer, Buffer];
    expect(once.equals(again)).toBe(true);
    expect(anew.equals(again)).toBe(false);
  });
});
