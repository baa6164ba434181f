import { chmodSync, constants, type Dirent, lstatSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { diskError, onDisk } from '../local/files.ts';
import type { Finishing, Unfinished } from './finish.ts';
import type { NameRules } from './names.ts';
import type { Plan } from './plan.ts';
import { Slices } from './slices.ts';

type What = 'file' | 'folder' | 'link';

/**
 * Copies into the staged tree everything of the current folder that a partial restore leaves as it is. The swap of the whole
 * folder then stays the only step that changes anything: all of the chosen files come, or none. Costs the room of the mandate
 * (nothing on file systems that share blocks).
 * @returns what is left to finish of the copied; folders that were there before keep their own time and mode
 * @throws AgentError `usage` when a folder is in the way of a file, or a file in that of a folder; the disk kinds, `interrupted`
 */
export async function keepOthers(
  folder: string,
  tree: string,
  plan: Plan,
  rules: NameRules,
  signal: AbortSignal | undefined,
): Promise<Finishing> {
  const keeper = new Keeper(tree, plan, rules, new Slices(signal));
  await keeper.walk(folder, '');
  return keeper.finishing;
}

class Keeper {
  readonly finishing = {
    files: [] as Unfinished[],
    folders: [] as Unfinished[],
    links: [] as Finishing['links'][number][],
  };
  readonly #tree: string;
  readonly #planned: ReadonlyMap<string, What>;
  readonly #rules: NameRules;
  readonly #slices: Slices;

  constructor(tree: string, plan: Plan, rules: NameRules, slices: Slices) {
    this.#tree = tree;
    this.#rules = rules;
    this.#slices = slices;
    const keyed = (items: readonly { placed: string }[], what: What): [string, What][] =>
      items.map(({ placed }) => [this.#keyOf(placed), what]);
    this.#planned = new Map([
      ...keyed(plan.files, 'file'),
      ...keyed(plan.folders, 'folder'),
      ...keyed(plan.links, 'link'),
    ]);
  }

  async walk(folder: string, relative: string): Promise<void> {
    for (const item of onDisk(folder, () => readdirSync(folder, { withFileTypes: true }))) {
      if (this.#slices.due) await this.#slices.pause();
      const placed = relative === '' ? item.name : `${relative}/${item.name}`;
      await this.#keep(item, join(folder, item.name), placed);
    }
  }

  async #keep(item: Dirent, from: string, placed: string): Promise<void> {
    const planned = this.#planned.get(this.#keyOf(placed));
    if (planned !== undefined && (planned === 'folder') !== item.isDirectory()) throw inTheWay(placed);
    const stats = onDisk(from, () => lstatSync(from, { bigint: true }));
    const facts = { placed, mtime: Number(stats.mtimeNs / 1000n), mode: Number(stats.mode) & 0o7777 };
    const to = join(this.#tree, placed);
    if (item.isDirectory()) {
      // before what is in it, and after the plan's own: the folder keeps what it has
      this.finishing.folders.push(facts);
      if (planned === undefined) onDisk(to, () => mkdirSync(to, { mode: 0o700 }));
      await this.walk(from, placed);
    } else if (planned !== undefined) return;
    else if (item.isSymbolicLink())
      this.finishing.links.push({ ...facts, target: onDisk(from, () => readlinkSync(from)) });
    else if (item.isFile()) {
      await copyContent(from, to);
      this.finishing.files.push(facts);
    }
  }

  #keyOf(placed: string): string {
    return placed.split('/').map(this.#rules.key).join('/');
  }
}

async function copyContent(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    chmodSync(to, 0o600); // copied with its mode, which may forbid what comes after
  } catch (error) {
    throw diskError(error, from);
  }
}

function inTheWay(path: string): AgentError {
  return new AgentError('usage', `${path} is a file here and a folder there`, {
    key: 'error.path-in-the-way',
    hint: 'hint.path-in-the-way',
    params: { path },
    details: { path },
  });
}
