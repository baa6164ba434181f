import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CatalogNode } from '@cresus-safe/protocol';
import { ensureFolder, onDisk } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import type { RestoreProgress, RestoreResult } from '../restore/options.ts';
import { restore } from '../restore/restore.ts';
import type { RestoreSource } from '../restore/source.ts';
import { checkTree, type RestoredFile, type TreeCheck } from './check-tree.ts';

/** A path with why it is not as it was saved. */
export interface DrillDefect {
  readonly path: string;
  readonly code: string;
}

/** What a test restore of one backup showed. */
export interface DrillResult extends TreeCheck {
  readonly kind: 'snapshot' | 'point' | 'copy';
  /** Of the snapshot or point; of a copy, the hash of what it says it holds. */
  readonly id: string;
  readonly mandate: string;
  /** ms since 1970. */
  readonly createdAt: number;
  readonly files: number;
  readonly bytes: number;
  readonly downloadedBytes: number;
  /** Files that did not come back. */
  readonly damaged: readonly DrillDefect[];
  /** What the backup never held. */
  readonly problems: readonly DrillDefect[];
  readonly durationMs: number;
}

/** Whether everything came back as it was saved. */
export function isSound({ damaged, wrong, differsFromDisk, modules }: DrillResult): boolean {
  return damaged.length + wrong.length + differsFromDisk.length === 0 && modules.every(({ ok }) => ok);
}

/** The scratch folder of test restores; whoever holds the lock of the home may empty it. */
function scratchFolder(home: Home): string {
  return join(home.dir, 'drill');
}

/** Runs `act` with a folder of its own that nobody else can enter, and removes it and what killed drills left, whatever happens. */
export async function inScratch<T>(home: Home, act: (folder: string) => Promise<T>): Promise<T> {
  const scratch = scratchFolder(home);
  const remove = (): void => onDisk(scratch, () => rmSync(scratch, { recursive: true, force: true, maxRetries: 3 }));
  remove();
  const folder = join(scratch, randomBytes(6).toString('hex'));
  ensureFolder(folder);
  try {
    return await act(folder);
  } finally {
    remove();
  }
}

export interface DrillOptions {
  readonly source: RestoreSource;
  /** An empty folder. */
  readonly scratch: string;
  /** The mandate on this computer, to compare with; undefined when it is not here. */
  readonly folder: string | undefined;
  readonly signal: AbortSignal;
  readonly progress?: ((progress: RestoreProgress) => void) | undefined;
}

/**
 * Restores a backup into the scratch folder as `restore --to` does, then reads everything again.
 * @throws AgentError when the restore cannot be made at all: a damaged catalog, no room, no connection
 */
export async function drill({ source, scratch, folder, signal, progress }: DrillOptions): Promise<DrillResult> {
  const started = performance.now();
  const target = join(scratch, 'tree');
  const restored = await restore({
    ...{ source, target, mode: 'to', signal, progress },
    intents: join(scratch, 'intents'),
    replacedWord: '',
  });
  const files = placedFiles(await source.readTree(), target, restored);
  const modules = source.modules.map(({ file }) => file);
  const checked = await checkTree(files, modules, folder, signal);
  const { kind, id, mandateName: mandate, createdAt } = source;
  return {
    ...{ kind, id, mandate, createdAt },
    ...{ files: restored.files, bytes: restored.bytes, downloadedBytes: restored.downloadedBytes },
    ...{ damaged: restored.damaged, problems: restored.problems },
    ...checked,
    durationMs: Math.round(performance.now() - started),
  };
}

/** The files that came back, and where they lie. */
function placedFiles(
  nodes: readonly CatalogNode[],
  target: string,
  { damaged, renamed }: Pick<RestoreResult, 'damaged' | 'renamed'>,
): RestoredFile[] {
  const lost = new Set(damaged.map(({ path }) => path));
  const placed = new Map(renamed.map(({ from, to }) => [from, to]));
  return nodes.flatMap((node) => {
    if (node.type !== 'file' || lost.has(node.path)) return [];
    const { path, size, mtime, sha256 } = node;
    return [{ path, size, mtime, sha256, place: join(target, placed.get(path) ?? path) }];
  });
}
