import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type AgentError, toAgentError } from '../errors.ts';
import { ensureFolder, onDisk } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { readSnapshotCatalog } from '../restore/catalog.ts';
import { type RestoreProgress, restore } from '../restore/restore.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import { checkTree, type RestoredFile, type TreeCheck } from './check-tree.ts';

/** A path with why it is not as it was saved. */
export interface DrillDefect {
  readonly path: string;
  readonly code: string;
}

/** What a test restore of one backup showed. */
export interface DrillResult extends TreeCheck {
  readonly kind: 'snapshot' | 'point' | 'copy';
  /** Undefined for a copy. */
  readonly id: string | undefined;
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
  readonly kind: 'snapshot' | 'point';
  readonly vault: Vault;
  readonly snapshot: SnapshotInfo;
  /** An empty folder. */
  readonly scratch: string;
  /** The mandate on this computer, to compare with; undefined when it is not here. */
  readonly folder: string | undefined;
  readonly signal: AbortSignal;
  readonly progress?: (progress: RestoreProgress) => void;
}

/**
 * Restores a snapshot or a point into the scratch folder as `restore --to` does, then reads everything again.
 * @throws AgentError when the restore cannot be made at all: a damaged catalog, no room, no connection
 */
export async function drillSnapshot(options: DrillOptions): Promise<DrillResult> {
  const { kind, vault, snapshot, scratch, folder, signal, progress } = options;
  const started = performance.now();
  const target = join(scratch, 'tree');
  const restored = await restore({
    ...{ vault, target, signal, snapshot: snapshot.id, mode: 'to' },
    intents: join(scratch, 'intents'),
    replacedWord: '',
    ...(progress && { progress }),
  });
  const files = await filesOf(options, target, restored);
  const checked = await checkTree(
    files,
    restored.modules.map(({ file }) => file),
    folder,
    signal,
  );
  return {
    ...{ kind, id: snapshot.id, mandate: snapshot.mandateName, createdAt: snapshot.createdAt },
    ...{ files: restored.files, bytes: restored.bytes, downloadedBytes: restored.downloadedBytes },
    ...{ damaged: restored.damaged, problems: restored.problems },
    ...checked,
    durationMs: Math.round(performance.now() - started),
  };
}

/** The files that came back, by the catalog: read anew, so that what the restore believed is not what it is judged by. */
async function filesOf(
  { vault, snapshot, signal }: DrillOptions,
  target: string,
  { damaged, renamed }: Pick<Awaited<ReturnType<typeof restore>>, 'damaged' | 'renamed'>,
): Promise<RestoredFile[]> {
  const record = await vault.record(snapshot.id);
  const { nodes } = await readSnapshotCatalog(vault.reader(signal), vault.mandate(record.mandateId), record);
  const lost = new Set(damaged.map(({ path }) => path));
  const placed = new Map(renamed.map(({ from, to }) => [from, to]));
  return nodes.flatMap((node) => {
    if (node.type !== 'file' || lost.has(node.path)) return [];
    const { path, size, mtime, sha256 } = node;
    return [{ path, size, mtime, sha256, place: join(target, placed.get(path) ?? path) }];
  });
}

export interface CopyDrillOptions {
  readonly file: string;
  readonly password: string | undefined;
  readonly scratch: string;
  /** Folder of the mandate with this id on this computer. */
  readonly folderOf: (mandateId: string) => string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Takes every file out of a copy, under numbers instead of names: nothing that a copy calls a file can lead out of the
 * scratch folder.
 * @throws AgentError `integrity` when it is no sound copy, `path-missing`, `wrong-secret`
 */
export async function drillCopy({ file, password, scratch, folderOf, signal }: CopyDrillOptions): Promise<DrillResult> {
  const started = performance.now();
  const { openCopy } = await import('../copies/open-copy.ts');
  const copy = await openCopy(file, { password });
  try {
    const { manifest } = copy;
    const files: RestoredFile[] = [];
    const damaged: DrillDefect[] = [];
    for (const [number, node] of copy.nodes.entries()) {
      signal.throwIfAborted();
      if (node.type !== 'file') continue;
      const place = join(scratch, String(number));
      const failed = await copy.extract(node, place).then(() => undefined, integrityOf);
      if (failed) damaged.push({ path: node.path, code: failed.kind });
      else files.push({ path: node.path, size: node.size, mtime: node.mtime, sha256: node.sha256, place });
    }
    const modules = manifest.modules.map((module) => module.file);
    const checked = await checkTree(files, modules, folderOf(manifest.mandate.id), signal);
    return {
      ...{ kind: 'copy', id: undefined, mandate: manifest.mandate.name, createdAt: manifest.createdAt },
      ...{ files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0), downloadedBytes: 0 },
      ...{ damaged, problems: manifest.problems },
      ...checked,
      durationMs: Math.round(performance.now() - started),
    };
  } finally {
    await copy.close();
  }
}

/** A file that is not what the manifest says; anything else ends the drill. */
function integrityOf(error: unknown): AgentError {
  const typed = toAgentError(error);
  if (typed.kind !== 'integrity') throw typed;
  return typed;
}
