import type { AgentError } from '../errors.ts';
import type { OpenModule } from '../open-modules/open-modules.ts';
import type { MadePoint } from '../points/make.ts';

/** What the watch tells, as it happens. `mandate` is a name. */
export type WatchEvent =
  | { readonly event: 'started'; readonly mandates: readonly string[] }
  /** `file` is empty when something in the folder itself came or went. */
  | { readonly event: 'changed'; readonly mandate: string; readonly file: string }
  | { readonly event: 'open'; readonly mandate: string; readonly modules: readonly OpenModule[] }
  | { readonly event: 'point' | 'unchanged'; readonly mandate: string; readonly made: MadePoint }
  | { readonly event: 'waiting'; readonly mandate: string; readonly pid: number }
  | { readonly event: 'failed'; readonly mandate: string; readonly error: AgentError; readonly retryMs: number }
  /** The clock went `gapMs` further than the waiting took: the computer slept, or somebody set its clock. */
  | { readonly event: 'resumed'; readonly gapMs: number }
  | { readonly event: 'away' | 'back'; readonly mandate: string; readonly path: string };
