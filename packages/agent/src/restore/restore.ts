import { lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { MandateId, SnapshotId, SnapshotModule, SnapshotRecord } from '@cresus-safe/protocol';
import { Pool } from '../compute/pool.ts';
import { AgentError, EXIT_CODES, EXIT_PARTIAL } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { onDisk, syncFolder } from '../local/files.ts';
import type { PackReader, Vault } from '../vault/vault.ts';
import { type ReadCatalog, readSnapshotCatalog } from './catalog.ts';
import { type Changes, type Comparison, compareTree } from './compare.ts';
import { finishTree } from './finish.ts';
import { type Plan, planRestore, type Reported } from './plan.ts';
import { cleanTree, discardStaging, openStaging, probeNames, requireSpace, type Staging } from './staging.ts';
import { asideName, swapIn } from './swap.ts';
import { allOrNothing, type Damage, writeTree } from './write.ts';

export interface RestoreProgress {
  readonly phase: 'catalog' | 'files' | 'finish';
  readonly files: number;
  readonly totalFiles: number;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly downloadedBytes: number;
}

export interface RestoreOptions {
  readonly vault: Vault;
  readonly snapshot: SnapshotId;
  /** Absolute. */
  readonly target: string;
  /**
   * 'to': an absent or empty folder gets every file that verifies. 'new': all files or none, into a folder that is absent
   * or empty. 'replace': all files or none; what is there is kept whole beside it.
   */
  readonly mode: 'to' | 'new' | 'replace';
  /** Folder of the home for durable intents; see `recoverSwaps`. */
  readonly intents: string;
  /** "remplacé" in the user's language, for the name of what is kept. */
  readonly replacedWord: string;
  readonly signal?: AbortSignal;
  readonly progress?: (progress: RestoreProgress) => void;
  /** Told before anything is replaced: files on disk that are newer than the snapshot. */
  readonly warnNewer?: (files: readonly string[], snapshotAt: number) => void;
}

export interface RestoreResult {
  readonly snapshot: SnapshotId;
  readonly mandateId: MandateId;
  readonly mandateName: string;
  readonly modules: readonly SnapshotModule[];
  readonly target: string;
  readonly files: number;
  readonly folders: number;
  readonly links: number;
  readonly bytes: number;
  readonly downloadedBytes: number;
  readonly changes: Changes;
  readonly safetyPoint: null;
  /** Where what was replaced lies now. */
  readonly replacedKept: string | null;
  /** Every file was written and has its SHA-256. */
  readonly verified: boolean;
  readonly durationMs: number;
  /** Files that could not be restored (only with 'to'). */
  readonly damaged: readonly Reported[];
  /** What the snapshot does not hold, and links that were not recreated. */
  readonly problems: readonly Reported[];
  readonly renamed: Plan['renamed'];
}

/** 10 when files are damaged, 3 when something is not as it was saved, else 0. */
export function restoreExitCode({ damaged, problems, renamed }: RestoreResult): number {
  if (damaged.length > 0) return EXIT_CODES.integrity;
  return problems.length > 0 || renamed.length > 0 ? EXIT_PARTIAL : 0;
}

/**
 * Restores a snapshot: catalog → plan by pack → staging beside the target → packs fetched, opened and written → every
 * file verified → made durable → swapped into place. Before the swap nothing of the target changes.
 * @throws AgentError `acceptance-missing` when the target is not empty, `integrity` naming the files (all-or-nothing),
 *   `not-found`, `omission`, `disk-full`, `read-only`, `permission`, `path-missing`, `interrupted`
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const started = performance.now();
  const { vault, snapshot, target, signal } = options;
  requireTarget(options);
  onDisk(target, () => mkdirSync(dirname(target), { recursive: true }));
  const record = await vault.record(snapshot);
  const reader = vault.reader(signal);
  const keys = vault.mandate(record.mandateId);
  const catalog = await readCatalogOf(options, reader, record);
  const staging = openStaging(target, snapshot);
  await using pool = new Pool();
  try {
    const plan = planRestore(catalog.nodes, probeNames(staging));
    requireSpace(staging, plan.bytes);
    const damage = await fill(options, { record, reader, keys, catalog, staging, plan, pool });
    if (signal?.aborted) throw new AgentError('interrupted', 'interrupted');
    if (damage.size > 0 && options.mode !== 'to') throw allOrNothing(plan, damage);
    const comparison = compare(options, plan, record);
    if (comparison.newer.length > 0) options.warnNewer?.(comparison.newer, record.createdAt);
    await finishTree(plan, staging.tree, damage, pool, signal);
    crashPoint('restore-staged');
    const replacedKept = place(options, staging);
    discardStaging(staging);
    const downloadedBytes = reader.downloaded;
    const durationMs = Math.round(performance.now() - started);
    return { ...resultOf(options, record, plan, damage, comparison), replacedKept, downloadedBytes, durationMs };
  } catch (error) {
    // an interrupted restore is taken up again by the next one; anything else leaves nothing behind
    if (!(error instanceof AgentError && error.kind === 'interrupted')) discardStaging(staging);
    throw error;
  }
}

/** Refuses a target that would lose something, before anything is fetched. */
function requireTarget({ target, mode }: RestoreOptions): void {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (found.isSymbolicLink())
    throw new AgentError('permission', `${target} is a link`, { key: 'error.target-link', params: { path: target } });
  const empty = found.isDirectory() && onDisk(target, () => readdirSync(target)).length === 0;
  if (empty || (mode === 'replace' && found.isDirectory())) return;
  throw new AgentError('acceptance-missing', `${target} is not empty`, {
    key: mode === 'to' ? 'error.target-not-empty' : 'error.target-exists',
    params: { path: target },
    details: { target },
  });
}

async function readCatalogOf(
  options: RestoreOptions,
  reader: PackReader,
  record: SnapshotRecord,
): Promise<ReadCatalog> {
  const { vault, snapshot } = options;
  try {
    return await readSnapshotCatalog(reader, vault.mandate(record.mandateId), record);
  } catch (error) {
    throw vault.missing(snapshot, error);
  }
}

interface Work {
  readonly record: SnapshotRecord;
  readonly reader: PackReader;
  readonly keys: ReturnType<Vault['mandate']>;
  readonly catalog: ReadCatalog;
  readonly staging: Staging;
  readonly plan: Plan;
  readonly pool: Pool;
}

async function fill(options: RestoreOptions, work: Work): Promise<Damage> {
  const { vault, signal, progress } = options;
  const { record, reader, keys, catalog, staging, plan, pool } = work;
  if (staging.reused) cleanTree(staging.tree, new Set([...plan.files, ...plan.folders].map(({ placed }) => placed)));
  const done = { files: 0, bytes: 0 };
  const learner = vault.learner(record.mandateId); // also for --to: after a disaster the mandate goes on from there
  pool.useMandate(keys);
  try {
    return await writeTree({
      ...{ plan, pool, reader, keys, signal, spare: catalog.spare, tree: staging.tree, reused: staging.reused },
      packIds: new Map(record.packs.map(({ packRef, packId }) => [packRef, packId])),
      learns: (packRef) => !learner.knows(packRef),
      learn: async (packId, { packRef, chunks }) => learner.learn(packRef, packId, chunks),
      advanced: (files, bytes) => {
        done.files += files;
        done.bytes += bytes;
        const { downloaded: downloadedBytes } = reader;
        progress?.({ phase: 'files', ...done, totalFiles: plan.files.length, totalBytes: plan.bytes, downloadedBytes });
      },
    });
  } finally {
    await learner.close();
  }
}

function compare({ mode, target }: RestoreOptions, plan: Plan, record: SnapshotRecord): Comparison {
  if (mode === 'replace' && statSync(target, { throwIfNoEntry: false })?.isDirectory())
    return compareTree(target, plan, record.createdAt);
  return { changes: { added: plan.files.length + plan.links.length, changed: 0, removed: 0 }, newer: [] };
}

/** Moves the staged tree into place. @returns where the replaced folder lies now */
function place({ target, intents, replacedWord, vault }: RestoreOptions, staging: Staging): string | null {
  const found = lstatSync(target, { throwIfNoEntry: false });
  const empty = found?.isDirectory() === true && readdirSync(target).length === 0;
  if (found === undefined || empty) {
    onDisk(target, () => {
      if (empty) rmdirSync(target);
      renameSync(staging.tree, target);
      syncFolder(dirname(target));
    });
    return null;
  }
  const aside = asideName(target, replacedWord, new Date(vault.now()));
  swapIn(intents, { staging: staging.tree, target, aside });
  return aside;
}

function resultOf(
  options: RestoreOptions,
  record: SnapshotRecord,
  plan: Plan,
  damage: Damage,
  { changes }: Comparison,
) {
  const { mandateId, mandateName, modules } = record;
  const damaged = [...damage].map(([index, code]) => ({ path: plan.files[index]?.node.path ?? '', code }));
  const lost = damage.keys().reduce((sum, index) => sum + (plan.files[index]?.node.size ?? 0), 0);
  return {
    snapshot: options.snapshot,
    ...{ mandateId, mandateName, modules, target: options.target, changes },
    files: plan.files.length - damage.size,
    folders: plan.folders.length,
    links: plan.links.length,
    bytes: plan.bytes - lost,
    safetyPoint: null,
    verified: damage.size === 0,
    damaged,
    problems: plan.problems,
    renamed: plan.renamed,
  };
}
