import type { CatalogNode } from '@cresus-safe/protocol';
import type { Pool } from '../compute/pool.ts';
import type { ModuleFile } from '../mandate/modules.ts';
import type { Plan } from './plan.ts';

/** Files (index into the plan) that could not be restored, with why. */
export type Damage = Map<number, string>;

/** What a backup says of itself. Times are ms since 1970. */
export interface SourceFacts {
  readonly kind: 'snapshot' | 'point' | 'copy';
  /** 64 hex digits: of the snapshot or point; of a copy the hash of what it says it holds. */
  readonly id: string;
  readonly createdAt: number;
  readonly comment: string;
  readonly mandateId: string;
  readonly mandateName: string;
  readonly modules: readonly ModuleFile[];
  readonly files: number;
  readonly bytes: number;
}

/** Files of a plan that are to be written into a tree whose folders are there. */
export interface Filling {
  readonly plan: Plan;
  /** Root of the tree being written: nobody but us can write there. */
  readonly tree: string;
  readonly pool: Pool;
  readonly signal: AbortSignal | undefined;
  /** Files (index into the plan) that are there already, and right. */
  readonly done: ReadonlySet<number>;
  /** Takes the files that cannot be had. */
  readonly damage: Damage;
  readonly advanced: (files: number, bytes: number) => void;
}

/** A backup that can be restored, wherever it lies. */
export interface RestoreSource extends SourceFacts {
  /** Bytes that crossed the network so far. */
  readonly downloaded: number;
  /**
   * Everything it holds, in the order of a catalog, read once. Files of a copy have no extents.
   * @throws AgentError `integrity` when the list itself is damaged, `not-found`, `omission`, `interrupted`
   */
  readTree(): Promise<readonly CatalogNode[]>;
  /**
   * Writes the files that are not done, each a new file and right by its SHA-256, or in `damage`: then what is at its place is
   * removed by the caller.
   * @throws AgentError the disk kinds, `unreachable` …, `interrupted`
   */
  fill(filling: Filling): Promise<void>;
}
