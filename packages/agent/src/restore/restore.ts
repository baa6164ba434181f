import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { CatalogNode } from '@cresus-safe/protocol';
import { Pool } from '../compute/pool.ts';
import { AgentError, EXIT_CODES, EXIT_PARTIAL } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { onDisk } from '../local/files.ts';
import { type Comparison, comparedWithNothing, compareTree, filesIn } from './compare.ts';
import { type Finishing, finishingOf, finishTree } from './finish.ts';
import { keepOthers } from './keep-others.ts';
import type { NameRules } from './names.ts';
import type { RestoreOptions, RestoreResult } from './options.ts';
import { type Placed, placeTree } from './place.ts';
import { type Plan, planRestore } from './plan.ts';
import type { MadeSafety } from './safety-net.ts';
import { selectNodes } from './select.ts';
import { stopWhenAborted } from './slices.ts';
import type { Damage } from './source.ts';
import {
  cleanTree,
  closeStaging,
  discardStaging,
  inUserWords,
  openStaging,
  probeNames,
  requireSpace,
  type Staging,
} from './staging.ts';
import { allOrNothing, writeTree } from './write.ts';

/** 10 when files are damaged, 3 when something is not as it was saved, else 0. */
export function restoreExitCode({ damaged, problems, renamed }: RestoreResult): number {
  if (damaged.length > 0) return EXIT_CODES.integrity;
  return problems.length > 0 || renamed.length > 0 ? EXIT_PARTIAL : 0;
}

/**
 * Restores a backup: its tree → plan → staging beside the target → contents written, every file verified → a safety point of
 * what will be replaced → modes and times, made durable → swapped into place. Before the swap nothing of the target changes.
 * @throws AgentError `acceptance-missing` when the target is not empty, `integrity` naming the files (all-or-nothing),
 *   `not-found`, `omission`, `disk-full`, `read-only`, `permission`, `path-missing`, `interrupted`, and what the safety net throws
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const started = performance.now();
  const { source, target, only, signal } = options;
  requireTarget(options);
  await using pool = new Pool();
  pool.warm(); // they start while the tree is read
  const nodes = await source.readTree();
  const chosen = only ? selectNodes(nodes, only) : nodes;
  stopWhenAborted(signal);
  onDisk(target, () => mkdirSync(dirname(target), { recursive: true }));
  const staging = openStaging(target, stagingId(options));
  try {
    return await new Run(options, staging, pool, started).run(chosen);
  } catch (error) {
    // an interrupted restore is taken up again by the next one; anything else leaves nothing behind
    if (!(error instanceof AgentError && error.kind === 'interrupted')) discardStaging(staging);
    throw inUserWords(staging, error);
  } finally {
    closeStaging(staging);
  }
}

/** Refuses a target that would lose something, before anything is fetched. */
function requireTarget({ target, mode }: RestoreOptions): void {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (found.isSymbolicLink())
    throw new AgentError('permission', `${target} is a link`, { key: 'error.target-link', params: { path: target } });
  const isMount = found.isDirectory() && statSync(dirname(target)).dev !== found.dev;
  if (isMount)
    throw new AgentError('permission', `${target} is the root of a file system`, {
      key: 'error.target-mount',
      hint: 'hint.target-mount',
      params: { path: target },
    });
  const empty = found.isDirectory() && onDisk(target, () => readdirSync(target)).length === 0;
  if (empty || (mode === 'replace' && found.isDirectory())) return;
  throw new AgentError('acceptance-missing', `${target} is not empty`, {
    key: mode === 'to' ? 'error.target-not-empty' : 'error.target-exists',
    params: { path: target },
    details: { target },
  });
}

/** What an interrupted restore wrote counts for the same files of the same backup. */
function stagingId({ source, only }: RestoreOptions): string {
  if (only === undefined) return source.id;
  return createHash('sha256')
    .update([source.id, ...only].join('\0'))
    .digest('hex');
}

class Run {
  readonly #options: RestoreOptions;
  readonly #staging: Staging;
  readonly #pool: Pool;
  readonly #started: number;

  constructor(options: RestoreOptions, staging: Staging, pool: Pool, started: number) {
    this.#options = options;
    this.#staging = staging;
    this.#pool = pool;
    this.#started = started;
  }

  async run(nodes: readonly CatalogNode[]): Promise<RestoreResult> {
    const { mode, signal, safety } = this.#options;
    const rules = probeNames(this.#staging);
    const plan = planRestore(nodes, rules);
    requireSpace(this.#staging, plan.bytes + this.#othersBytes());
    const damage = await this.#write(plan);
    if (damage.size > 0 && mode !== 'to') throw allOrNothing(plan, damage);
    const comparison = await this.#compare(plan);
    const made = this.#replaces ? await safety?.make() : undefined;
    await finishTree(await this.#finishing(plan, damage, rules), this.#staging.tree, this.#pool, signal);
    crashPoint('restore-staged');
    if (this.#replaces) await safety?.requireStill();
    stopWhenAborted(signal);
    const placed = await placeTree({ ...this.#options, staging: this.#staging, replaces: this.#replaces, made });
    const result = this.#result(plan, damage, comparison, placed, made);
    this.#options.noted?.(result);
    placed.done();
    discardStaging(this.#staging);
    return result;
  }

  /** Whether the target holds anything now. */
  get #replaces(): boolean {
    const { target, mode } = this.#options;
    return (
      mode === 'replace' &&
      lstatSync(target, { throwIfNoEntry: false })?.isDirectory() === true &&
      readdirSync(target).length > 0
    );
  }

  get #partly(): boolean {
    return this.#options.only !== undefined && this.#replaces;
  }

  #othersBytes(): number {
    if (!this.#partly) return 0;
    return filesIn(this.#options.target, '').reduce((sum, { stats }) => sum + stats.size, 0);
  }

  async #write(plan: Plan): Promise<Damage> {
    const { source, signal, progress } = this.#options;
    const { tree, reused } = this.#staging;
    const placed = new Set([...plan.files, ...plan.folders].map((item) => item.placed));
    if (reused) await cleanTree(tree, placed, signal);
    const done = { files: 0, bytes: 0 };
    return writeTree({
      ...{ plan, source, tree, reused, signal, pool: this.#pool },
      advanced: (files, bytes) => {
        done.files += files;
        done.bytes += bytes;
        const { downloaded: downloadedBytes } = source;
        progress?.({ phase: 'files', ...done, totalFiles: plan.files.length, totalBytes: plan.bytes, downloadedBytes });
      },
    });
  }

  async #compare(plan: Plan): Promise<Comparison> {
    const { target, source, signal, compared } = this.#options;
    if (!this.#replaces) return comparedWithNothing(plan);
    if (compared !== undefined) return compared;
    return compareTree(target, plan, { createdAt: source.createdAt, partly: this.#partly, signal });
  }

  async #finishing(plan: Plan, damage: Damage, rules: NameRules): Promise<Finishing> {
    const ours = finishingOf(plan, damage);
    if (!this.#partly) return ours;
    const { target, signal } = this.#options;
    const others = await keepOthers(target, this.#staging.tree, plan, rules, signal);
    const kept = new Set(others.folders.map(({ placed }) => placed));
    return {
      files: [...ours.files, ...others.files],
      folders: [...others.folders, ...ours.folders.filter(({ placed }) => !kept.has(placed))],
      links: [...ours.links, ...others.links],
    };
  }

  #result(
    plan: Plan,
    damage: Damage,
    { changes }: Comparison,
    { replacedKept }: Placed,
    made: MadeSafety | undefined,
  ): RestoreResult {
    const { source, target } = this.#options;
    const { kind, id, mandateId, mandateName, modules, downloaded: downloadedBytes } = source;
    const lost = damage.keys().reduce((sum, index) => sum + (plan.files[index]?.node.size ?? 0), 0);
    return {
      source: { kind, id },
      ...{ mandateId, mandateName, modules, target, changes, downloadedBytes, replacedKept },
      files: plan.files.length - damage.size,
      folders: plan.folders.length,
      links: plan.links.length,
      bytes: plan.bytes - lost,
      safetyPoint: made?.id ?? null,
      verified: damage.size === 0,
      durationMs: Math.round(performance.now() - this.#started),
      damaged: [...damage].map(([index, code]) => ({ path: plan.files[index]?.node.path ?? '', code })),
      problems: plan.problems,
      renamed: plan.renamed,
    };
  }
}
