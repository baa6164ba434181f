import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  HttpRemote,
  homeAt,
  loadConfig,
  openVault,
  readToken,
  recallRoot,
  restore,
  unlock,
  type Vault,
  vaultSource,
} from '@cresus-safe/agent';
import { parseFrame, type SnapshotId } from '@cresus-safe/protocol';
import type { Agent } from './agent.ts';
import { differences } from './compare.ts';
import { until } from './process.ts';

/** An acknowledged snapshot and a copy of the mandate as it was then. */
export interface Acknowledged {
  readonly id: string;
  readonly copy: string;
}

export interface Scene {
  /** The server's data folder. */
  readonly dataDir: string;
  /** The computer that was mistreated. */
  readonly agent: Agent;
  /** Another computer of the same vault (or a clone), which nothing happens to and whose root is remembered. */
  readonly watcher: Agent;
  readonly acknowledged: readonly Acknowledged[];
  /** Restore these; by default all that are acknowledged. */
  readonly restored?: readonly Acknowledged[];
  /** Where restores may go; removed again. */
  readonly scratch: string;
  /** Texts that no file of the agent may show: contents of the mandate, the secret key. */
  readonly canaries: readonly string[];
  /** Folders given to the agent as TMPDIR: nothing may stay there. */
  readonly temporary: string;
}

/**
 * Checks, after a fault, what holds at every moment (I1, I2, I5, I7, I8 of the attacks' table; I4 is of restores and I6
 * of the next run, see `Patient`). Throws with everything that is wrong.
 */
export async function checkInvariants(scene: Scene): Promise<void> {
  const wrong: string[] = [];
  const say = (id: string, lines: readonly string[]): void => void wrong.push(...lines.map((line) => `${id} ${line}`));
  await withVault(scene.watcher, async (vault, remote) => {
    say('I1', await unrestorable(scene, vault));
    const { vaultId } = vault.keys;
    say('I2', dangling(scene.dataDir, vaultId));
    say('I5', ahead(scene.agent, scene.watcher));
    say('I7', await miscounted(scene.dataDir, vaultId, remote));
  });
  say('I8', leaks(scene));
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
}

/** Runs `act` with the vault as that computer opens it, in this process: a process for each look would take a second. */
export async function withVault<T>(agent: Agent, act: (vault: Vault, remote: HttpRemote) => Promise<T>): Promise<T> {
  process.env['CRESUS_SAFE_KEYRING'] = 'file'; // as for the processes: never the keyring of whoever runs the tests
  const home = homeAt(agent.home);
  const { server, deviceId } = loadConfig(home);
  const remembered = await recallRoot(home);
  if (remembered === undefined) throw new Error('this computer does not remember its key');
  const remote = new HttpRemote({ url: server.url, token: readToken(home) });
  try {
    const common = { dir: home.vault, remote, deviceId, warn: () => undefined };
    const { keys } = await unlock({ ...common, opener: { root: remembered.root } });
    return await act(await openVault({ ...common, keys, server, now: Date.now }), remote);
  } finally {
    remote.close();
  }
}

async function unrestorable({ acknowledged, restored = acknowledged, scratch, watcher }: Scene, vault: Vault) {
  const known = new Set(vault.snapshots().map(({ id }) => id as string));
  const lost = acknowledged.filter(({ id }) => !known.has(id)).map(({ id }) => `snapshot ${id} is not in the history`);
  const wrong: string[] = [];
  for (const { id, copy } of restored) {
    const target = join(scratch, id);
    const intents = join(watcher.home, 'intents');
    await restore({
      source: await vaultSource({ vault, snapshot: id as SnapshotId, kind: 'snapshot' }),
      ...{ target, mode: 'to', intents, replacedWord: 'x' },
    });
    wrong.push(...differences(copy, target).map((line) => `${id.slice(0, 8)}: ${line}`));
    rmSync(target, { recursive: true });
  }
  return [...lost, ...wrong];
}

/** Every frame of the bucket is the database's entry, one for each seq; each pack it lists is there and is its own hash. */
function dangling(dataDir: string, vaultId: string): string[] {
  using db = new DatabaseSync(join(dataDir, 'safe.sqlite'), { readOnly: true });
  const wrong: string[] = [];
  const folder = join(dataDir, 'blobs/v', vaultId);
  const entries = db.prepare('select seq, entry_hash from entry where vault_id = ? order by seq').all(vaultId);
  const head = db.prepare('select head_seq from vault where vault_id = ?').get(vaultId)?.['head_seq'];
  if (head !== entries.length || entries.some(({ seq }, at) => seq !== at + 1))
    wrong.push(`head ${head}, entries ${entries.map(({ seq }) => seq)}`);
  const checked = new Set<string>();
  for (const { seq, entry_hash } of entries) {
    const { entry, packIds } = parseFrame(readFileSync(join(folder, 'j', String(seq).padStart(10, '0'))));
    if (entry.hash !== entry_hash) wrong.push(`frame ${seq} of the bucket is another entry than the database's`);
    for (const id of packIds.filter((id) => !checked.has(id))) {
      checked.add(id);
      const path = join(folder, 'p', id);
      if (!existsSync(path)) wrong.push(`entry ${seq} refers to pack ${id}, which is missing`);
      else if (createHash('sha256').update(readFileSync(path)).digest('hex') !== id)
        wrong.push(`pack ${id} is damaged`);
    }
  }
  const frames = readdirSync(join(folder, 'j')).length;
  if (frames !== entries.length) wrong.push(`${frames} frames in the bucket, ${entries.length} entries`);
  return wrong;
}

/** Computers write the same verified frames in the same order: the log of one is the beginning of the other's. */
function ahead(agent: Agent, watcher: Agent): string[] {
  const [mine, theirs] = [agent, watcher].map(({ home }) => join(home, 'vault/history.log'));
  if (!existsSync(mine as string)) return [];
  const [held, verified] = [readFileSync(mine as string), readFileSync(theirs as string)];
  return verified.subarray(0, held.length).equals(held) ? [] : ['the held history is not one of the server’s'];
}

/** Reservations of uploads that were cut are given back by the server's sweep, which may take a moment. */
async function miscounted(dataDir: string, vaultId: string, remote: HttpRemote): Promise<string[]> {
  let said = '';
  const look = async (): Promise<true | undefined> => {
    const { quota } = await remote.account();
    const folder = join(dataDir, 'blobs/v', vaultId, 'p');
    const packs = existsSync(folder) ? readdirSync(folder) : [];
    const bytes = packs.reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
    said = `${quota.usedBytes} bytes are counted, ${bytes} in ${packs.length} packs are stored`;
    return quota.usedBytes === bytes ? true : undefined;
  };
  try {
    await until(look, () => said, 10_000);
    return [];
  } catch {
    return [said];
  }
}

/** Plain contents, the secret key or the root in any file where they do not belong; anything in the temporary folder. */
function leaks({ agent, canaries, temporary }: Scene): string[] {
  const rootFile = join(agent.home, 'root.key');
  const root = existsSync(rootFile) ? readFileSync(rootFile, 'utf8').trim() : '';
  const needles = [...canaries.map((text) => Buffer.from(text))];
  if (root !== '') needles.push(Buffer.from(root), Buffer.from(root, 'hex'));
  const files = readdirSync(agent.home, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  const wrong = files
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => path !== rootFile)
    .filter((path) => needles.some((needle) => readFileSync(path).includes(needle)))
    .map((path) => `${path} shows a secret`);
  const left = existsSync(temporary) ? readdirSync(temporary).filter((name) => !name.startsWith('node-')) : [];
  return [...wrong, ...left.map((name) => `${join(temporary, name)} was left`)];
}

/** Temporary files of killed runs in a home folder; the next run that takes the lock sweeps them. */
export function temporaryFiles(home: string): string[] {
  return readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((path) => /\.tmp$|^lock/.test(basename(path)));
}
