import { lstatSync } from 'node:fs';
import { type Comparison, comparedWithNothing, compareTree } from './compare.ts';
import { foldedKey, type NameRules } from './names.ts';
import { type Plan, planRestore } from './plan.ts';
import { selectNodes } from './select.ts';
import type { RestoreSource } from './source.ts';

export interface PreviewOptions {
  readonly source: RestoreSource;
  /** Absolute. */
  readonly target: string;
  /** Patterns of `--path`. */
  readonly only?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a restore would do; nothing is written. */
export interface Preview extends Comparison {
  readonly files: number;
  readonly bytes: number;
  readonly problems: Plan['problems'];
  readonly renamed: Plan['renamed'];
}

/**
 * Compares a backup with what is at the target. Whether the target's file system tells names apart is only found out by
 * writing: here the platform's habit counts.
 * @throws AgentError as `RestoreSource.readTree`, `not-found` for a pattern that means nothing
 */
export async function previewRestore({ source, target, only, signal }: PreviewOptions): Promise<Preview> {
  const nodes = await source.readTree();
  const { files, bytes, problems, renamed, ...plan } = planRestore(
    only ? selectNodes(nodes, only) : nodes,
    platformRules(),
  );
  const whole = { files, bytes, problems, renamed, ...plan };
  const isThere = lstatSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
  const around = { createdAt: source.createdAt, partly: only !== undefined, signal };
  const compared = isThere ? await compareTree(target, whole, around) : comparedWithNothing(whole);
  return { ...compared, files: files.length, bytes, problems, renamed };
}

function platformRules(): NameRules {
  const folds = process.platform === 'win32' || process.platform === 'darwin';
  return { key: folds ? foldedKey : (name) => name, windows: process.platform === 'win32' };
}
