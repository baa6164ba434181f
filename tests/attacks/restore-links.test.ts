import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent } from '../support/agent.ts';
import { copyTree, differences } from '../support/compare.ts';
import { start } from '../support/process.ts';
import { World } from '../support/world.ts';

/** Makes every staging folder in a folder a link to another one and back, as fast as it can. */
const SWAPPER = `
const fs = require('node:fs'), [parent, outside] = process.argv.slice(1);
for (;;) for (const name of fs.readdirSync(parent).filter((each) => each.startsWith('.cresus-safe-'))) {
  const path = parent + '/' + name, away = parent + '/away';
  try {
    fs.renameSync(path, away); fs.symlinkSync(outside, path); fs.unlinkSync(path); fs.renameSync(away, path);
  } catch {
    continue; // gone already
  }
}`;

describe('MS-38 links planted by another user of the computer', () => {
  const world = new World(); // its server is never started: points need none
  const agent = new Agent(world.path('computer', 'cresus-safe'));
  const books = world.path('mandats', 'Dupont');
  const saved = world.path('saved');
  const outside = world.path('outside');
  const point = ['restore', 'Dupont SA', '--point', 'latest'];

  beforeAll(async () => {
    mkdirSync(join(books, 'Documents'), { recursive: true });
    mkdirSync(outside);
    writeFileSync(join(outside, 'precieux'), 'reste');
    writeFileSync(join(books, 'compta.cre'), 'écritures');
    for (let n = 0; n < 150; n++) writeFileSync(join(books, 'Documents', `f${n}.txt`), `pièce ${n}`);
    copyTree(books, saved);
    await agent.json(['mandate', 'add', 'Dupont SA', '--path', books]);
    await agent.json(['point', 'Dupont SA']);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const untouched = (): [string[], string] => [readdirSync(outside), readFileSync(join(outside, 'precieux'), 'utf8')];

  it('MS-38 a link where the target goes is refused', async () => {
    const target = world.path('cible');
    symlinkSync(outside, target);
    expect(await agent.refused([...point, '--to', target])).toMatchObject({
      exitCode: 15,
      error: { code: 'permission' },
    });
    expect(untouched()).toEqual([['precieux'], 'reste']);
    rmSync(target);
    symlinkSync(world.path('nowhere'), target);
    expect(await agent.refused([...point, '--to', target])).toMatchObject({ exitCode: 15 });
    expect(existsSync(world.path('nowhere'))).toBe(false);
  });

  it('MS-38 a link at the name of the staging folder, which can be guessed, is replaced', async () => {
    const { points } = await agent.json<{ points: { id: string }[] }>(['points', 'Dupont SA']);
    const target = world.path('ici');
    const family = createHash('sha256').update(target).digest('hex').slice(0, 12);
    const staging = world.path(`.cresus-safe-${family}-${points[0]?.id.slice(0, 16)}`);
    symlinkSync(outside, staging);
    await agent.json([...point, '--to', target]);
    expect(differences(saved, target)).toEqual([]);
    expect(lstatSync(staging, { throwIfNoEntry: false })).toBeUndefined();
    expect(untouched()).toEqual([['precieux'], 'reste']);
  });

  it('MS-38 a staging folder that becomes a link again and again while it is filled', async () => {
    const parent = join(books, '..');
    const swapper = start([process.execPath, '-e', SWAPPER, parent, outside]);
    try {
      for (let n = 0; n < 4; n++) {
        writeFileSync(join(books, 'compta.cre'), `travail ${n}`);
        const first = [
          'restore',
          'Dupont SA',
          '--copy',
          world.path('c.pe-backup'),
          '--into-current',
          '--accept-replace',
        ];
        if (n === 0) await agent.json(['copy', 'Dupont SA', world.path('c.pe-backup')]);
        const finished = await agent.run([...first, '--json']);
        // it may lose its folder and say so; it never writes or removes elsewhere, nor leaves half a mandate
        const content = readFileSync(join(books, 'compta.cre'), 'utf8');
        expect([finished.code === 0 ? 'travail 0' : `travail ${n}`, 'travail 0']).toContain(content);
        expect(readdirSync(join(books, 'Documents'))).toHaveLength(150);
        expect(untouched()).toEqual([['precieux'], 'reste']);
      }
    } finally {
      swapper.kill('SIGKILL');
    }
  });
});
