import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseFrame } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { makeBooks } from '../support/books.ts';
import { differences } from '../support/compare.ts';
import { kitOnPage } from '../support/kit.ts';
import { noise } from '../support/noise.ts';
import { World } from '../support/world.ts';

jest.setTimeout(180_000); // dozens of processes, on a busy machine too

let world: World;
/** The bucket as `rclone sync` would leave it. */
let copy: string;
let page: string;
const books = new Map<string, string>();

/** A computer that knows nothing, with nothing but the kit. */
const rescuer = (): Agent => world.computer({});
const use = (agent: Agent, ...more: string[]) =>
  agent.json<{ mandates: { name: string; snapshots: number }[]; headCode: string }>([
    ...['kit', 'use', '--store', `file:${copy}`, '--kit-file', page],
    ...more,
  ]);

beforeAll(async () => {
  world = await World.create();
  const { first, books: dupont } = await world.household();
  books.set('Dupont SA', dupont);
  const rochat = world.path('rochat');
  makeBooks(rochat, { scale: 0.012 });
  books.set('Rochat', rochat);
  await first.json(['mandate', 'add', 'Rochat', '--path', rochat]);
  await first.send('Dupont SA', '--comment', 'avant bouclement');
  await first.send('Rochat');
  const replaced = world.path('ancien.html');
  await first.refused(['kit', 'create', replaced]);
  await first.json(['kit', 'create', replaced, '--typed-back', kitOnPage(replaced)]);
  page = world.path('kit.html');
  await first.refused(['kit', 'create', page]);
  await first.json(['kit', 'create', page, '--typed-back', kitOnPage(page)]);
  writeFileSync(join(dupont, 'apres-le-kit.txt'), noise('après', 200_000));
  await first.send('Dupont SA');
  // another subscriber in the same bucket
  const other = await world.server.addSubscriber({ name: 'Autre' });
  const stranger = await world.connected(other.enrolmentCode, { secret: 'un autre secret' });
  makeBooks(world.path('autre'), { scale: 0.01 });
  await stranger.json(['mandate', 'add', 'Autre', '--path', world.path('autre')]);
  await stranger.send('Autre');
  copy = world.path('copie');
  cpSync(join(world.server.dataDir, 'blobs'), copy, { recursive: true });
  await world.server.stop();
  for (const name of readdirSync(world.dir))
    if (name.startsWith('server')) rmSync(world.path(name), { recursive: true, force: true }); // key ring, database, bucket
});
afterAll(() => world[Symbol.asyncDispose]());

describe('R-03 the key ring and the database are lost', () => {
  it('R-03 the kit and a copy of the bucket give every mandate back, byte for byte', async () => {
    const agent = rescuer();
    const opened = await use(agent);
    expect(opened.mandates.map(({ name, snapshots }) => [name, snapshots]).toSorted()).toEqual([
      ['Dupont SA', 2],
      ['Rochat', 1],
    ]);
    for (const [name, folder] of books) {
      const target = world.path(`rendu ${name}`);
      await agent.restore(name, '--snapshot', 'latest', '--to', target);
      expect(differences(folder, target)).toEqual([]);
      rmSync(target, { recursive: true });
    }
    const { snapshots } = await agent.json<{ snapshots: { id: string; comment: string }[] }>([
      'snapshots',
      'Dupont SA',
    ]);
    const old = snapshots.find(({ comment }) => comment === 'avant bouclement');
    expect(await agent.json(['show', old?.id ?? ''])).toMatchObject({ mandate: 'Dupont SA' });
    expect(await agent.json(['verify', '--full'])).toMatchObject({ problems: [], checked: { snapshots: 3 } });
    await agent.json(['mandate', 'root', world.path('mandats')]);
    await agent.restore('Rochat', '--snapshot', 'latest', '--as', 'Rochat');
    expect(differences(books.get('Rochat') ?? '', world.path('mandats/Rochat'))).toEqual([]);
  });

  it('whatever would write says that this computer only reads a copy', async () => {
    const agent = rescuer();
    await use(agent);
    const dir = world.path('vide');
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'a.cre'), 'x');
    await agent.json(['mandate', 'add', 'Vide', '--path', dir]);
    for (const words of [
      ['send', 'Vide'],
      ['secret', 'change'],
      ['secret', 'set'],
      ['kit', 'create', world.path('autre-kit.html')],
      ['devices'],
      ['connect', '--server', 'http://127.0.0.1:9', '--code', 'AAAA-BBBB-CCCC'],
      ['anchor', '--without-anchor'],
    ]) {
      const refused = await agent.with({ secret: 'bouclement-2026 été' }).refused(words);
      expect([words.join(' '), refused.exitCode, refused.error.code]).toEqual([words.join(' '), 2, 'usage']);
      expect(refused.error.message).toContain(copy);
    }
    // what needs no server goes on
    await agent.json(['point', 'Vide']);
    expect(await agent.json(['status'])).toMatchObject({ connected: false, store: expect.stringContaining(copy) });
    expect((await agent.run(['doctor', '--json'])).stderr).not.toMatch(/unexpected/);
    const saved = world.path('rochat.pe-backup');
    await agent.json(['copy', 'Rochat', saved, '--snapshot', 'latest']);
    expect(existsSync(saved)).toBe(true);
  });

  it('the kit is asked again once its key is forgotten; a kit of nobody opens nothing', async () => {
    const agent = rescuer();
    await use(agent);
    await agent.json(['secret', 'forget']);
    expect(await agent.refused(['snapshots', 'Rochat'])).toMatchObject({ exitCode: 2 });
    const again = agent.with({ env: { CRESUS_SAFE_KIT: kitOnPage(page) } });
    expect(await again.json(['snapshots', 'Rochat'])).toMatchObject({ snapshots: [{}] });
    const old = ['kit', 'use', '--store', `file:${copy}`, '--kit-file', world.path('ancien.html'), '--lang', 'en'];
    const said = await rescuer().refused(old);
    expect([said.exitCode, said.error.message]).toEqual([4, expect.stringMatching(/printed last/)]);
    const wrong = world.write('faux.txt', 'CSKI-T1QQ-QQQQ');
    expect(await rescuer().refused(['kit', 'use', '--store', `file:${copy}`, '--kit-file', wrong])).toMatchObject({
      exitCode: 2,
    });
    expect(await rescuer().refused(['kit', 'use', '--store', 's3://seau', '--kit-file', page])).toMatchObject({
      exitCode: 2,
    });
    const empty = world.path('rien');
    mkdirSync(empty);
    expect(await rescuer().refused(['kit', 'use', '--store', `file:${empty}`, '--kit-file', page])).toMatchObject({
      exitCode: 14,
    });
  });

  it('a copy that is older than the kit is told; one that lacks an entry gives what comes before it', async () => {
    const whole = copy;
    copy = world.path('coupée');
    cpSync(whole, copy, { recursive: true });
    const vault = vaultOf(copy);
    const last = readdirSync(join(vault, 'j')).toSorted().at(-1) ?? '';
    rmSync(join(vault, 'j', last));
    expect((await use(rescuer())).mandates).toMatchObject([{ snapshots: 1 }, { snapshots: 1 }]);
    // the entry of the kit itself is a slot-change: without it the kit opens nothing, which is said
    for (const name of readdirSync(join(vault, 'j')).toSorted().slice(4)) rmSync(join(vault, 'j', name));
    expect(await rescuer().refused(['kit', 'use', '--store', `file:${copy}`, '--kit-file', page])).toMatchObject({
      exitCode: 4,
    });
    copy = whole;
  });

  it('R-03 missing and damaged packs: exit 10 names the files, --to writes the others', async () => {
    const whole = copy;
    copy = world.path('abîmée');
    cpSync(whole, copy, { recursive: true });
    const agent = rescuer();
    await use(agent);
    const folder = join(vaultOf(copy), 'p');
    // the pack of the first snapshot: the second needs it for all files but the one that came later
    const frame = parseFrame(new Uint8Array(readFileSync(join(vaultOf(copy), 'j/0000000002'))));
    const pack = join(folder, frame.packIds[0] ?? '');
    const bytes = readFileSync(pack);
    bytes.writeUInt8(bytes.readUInt8(5000) ^ 1, 5000);
    writeFileSync(pack, bytes);
    for (const target of [world.path('partiel'), world.path('partiel-2')]) {
      const finished = await agent.run(['restore', 'Dupont SA', '--snapshot', 'latest', '--to', target, '--json']);
      const { damaged, files } = JSON.parse(finished.stdout) as { damaged: { path: string }[]; files: number };
      expect([finished.code, files]).toEqual([10, 1]);
      expect(damaged.map(({ path }) => path)).toEqual(expect.arrayContaining(['comptabilite.cre', 'facturation.fac']));
      expect(readdirSync(target)).toContain('apres-le-kit.txt');
      expect(readFileSync(join(target, 'apres-le-kit.txt')).equals(noise('après', 200_000))).toBe(true);
      rmSync(pack, { force: true }); // and once more without it
    }
    const checked = await agent.run(['verify', '--full', '--json']);
    expect([10, 13]).toContain(checked.code);
    expect(checked.stdout).toContain(frame.packIds[0]);
    copy = whole;
  });
});

/** The folder of the vault whose journal is the longest: that of the first subscriber. */
function vaultOf(bucket: string): string {
  const vaults = readdirSync(join(bucket, 'v')).map((name) => join(bucket, 'v', name));
  const length = (dir: string): number => (existsSync(join(dir, 'j')) ? readdirSync(join(dir, 'j')).length : 0);
  return vaults.toSorted((a, b) => length(b) - length(a))[0] ?? '';
}
