import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { differences } from '../support/compare.ts';
import { World } from '../support/world.ts';

const vectors = join(import.meta.dirname, '../vectors');
const released = readdirSync(vectors).filter((name) => /^vault-v\d+$/.test(name));

/** A server of today on the data of then. Git keeps no private modes, which the server insists on. */
async function serverOf(golden: string): Promise<World> {
  const world = new World();
  cpSync(join(golden, 'server'), world.server.dataDir, { recursive: true });
  const entries = readdirSync(world.server.dataDir, { recursive: true, encoding: 'utf8' });
  for (const path of ['', ...entries].map((entry) => join(world.server.dataDir, entry)))
    chmodSync(path, statSync(path).isDirectory() ? 0o700 : 0o600);
  cpSync(join(golden, 'server.keys.json'), `${world.server.dataDir}.keys.json`);
  chmodSync(`${world.server.dataDir}.keys.json`, 0o600);
  mkdirSync(join(world.server.dataDir, 'blobs/tmp'), { recursive: true });
  await world.server.start();
  return world;
}

describe('F-46 vaults of every released version', () => {
  it('F-46 there is one for each', () => expect(released).toEqual(['vault-v1']));

  it.each(released)(
    'F-46 %s: today’s server takes it over, today’s agent restores every snapshot of it, with the secret and with the kit',
    async (name) => {
      const golden = join(vectors, name);
      const { number, secret, snapshots } = JSON.parse(readFileSync(join(golden, 'vault.json'), 'utf8')) as {
        number: string;
        secret: string;
        snapshots: string[];
      };
      await using world = await serverOf(golden);
      const computer = world.computer({ secret });
      await computer.connect(world.server.url, await world.server.newCode(number));
      for (const [at, id] of snapshots.entries()) {
        const target = world.path(`restored-${at}`);
        await computer.restore('Exemple', '--snapshot', id, '--to', target);
        expect(differences(join(golden, `mandate-${at + 1}`), target, { times: false, modes: false })).toEqual([]);
        expect(Math.floor(statSync(join(target, 'livre.cre')).mtimeMs)).toBe(1_790_000_000_000);
      }
      await computer.json(['verify', 'Exemple']);

      const rescued = world.computer({ secret: 'une toute nouvelle clé' });
      await rescued.connect(world.server.url, await world.server.newCode(number));
      await rescued.json(['kit', 'use', '--kit-file', join(golden, 'kit.html')]);
      await rescued.restore('Exemple', '--snapshot', 'latest', '--to', world.path('rescued'));
      expect(differences(join(golden, 'mandate-2'), world.path('rescued'), { times: false, modes: false })).toEqual([]);
    },
  );
});
