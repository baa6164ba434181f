import type { ModuleFile } from '../mandate/modules.ts';
import type { Changes, Comparison } from './compare.ts';
import type { Plan, Reported } from './plan.ts';
import type { MadeSafety, SafetyNet } from './safety-net.ts';
import type { RestoreSource, SourceFacts } from './source.ts';

export interface RestoreProgress {
  readonly phase: 'catalog' | 'files' | 'finish';
  readonly files: number;
  readonly totalFiles: number;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly downloadedBytes: number;
}

export interface RestoreOptions {
  readonly source: RestoreSource;
  /** Absolute. */
  readonly target: string;
  /**
   * 'to': an absent or empty folder gets every file that verifies. 'new': all files or none, into a folder that is absent
   * or empty. 'replace': all files or none, in the place of what is there.
   */
  readonly mode: 'to' | 'new' | 'replace';
  /** Patterns of `--path`: only these files and folders; with 'replace' everything else stays. */
  readonly only?: readonly string[] | undefined;
  /** Folder of the home for durable intents; see `recoverSwaps`. */
  readonly intents: string;
  /** "remplacé" in the user's language, for the name of what is kept. */
  readonly replacedWord: string;
  /** Stands in for what is replaced; without one it is kept whole beside the new folder. */
  readonly safety?: SafetyNet | undefined;
  /** What a killed run leaves to be noted of the restore, told to `recoverSwaps`. */
  readonly note?: ((safety: MadeSafety | undefined) => unknown) | undefined;
  /** Notes the restore, which is in place; a run killed before leaves that to the next one. */
  readonly noted?: ((result: RestoreResult) => void) | undefined;
  /** ms since 1970 */
  readonly now?: (() => number) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: RestoreProgress) => void) | undefined;
  /** What was compared and shown already; else it is compared here. */
  readonly compared?: Comparison | undefined;
}

export interface RestoreResult {
  readonly source: Pick<SourceFacts, 'kind' | 'id'>;
  readonly mandateId: string;
  readonly mandateName: string;
  readonly modules: readonly ModuleFile[];
  readonly target: string;
  readonly files: number;
  readonly folders: number;
  readonly links: number;
  readonly bytes: number;
  readonly downloadedBytes: number;
  readonly changes: Changes;
  /** The point that holds what was replaced; null when nothing was. */
  readonly safetyPoint: string | null;
  /** Where what was replaced lies now; null when there was nothing, or the point was proven to hold all of it. */
  readonly replacedKept: string | null;
  /** Every file was written and has its SHA-256. */
  readonly verified: boolean;
  readonly durationMs: number;
  /** Files that could not be restored (only with 'to'). */
  readonly damaged: readonly Reported[];
  /** What the backup does not hold, and links that were not recreated. */
  readonly problems: readonly Reported[];
  readonly renamed: Plan['renamed'];
}
