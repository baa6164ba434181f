/** `restore` as it was typed. */
export interface RestoreArgs {
  readonly name: string | undefined;
  readonly snapshot: string | undefined;
  readonly copy: string | undefined;
  readonly point: string | undefined;
  readonly intoCurrent: boolean;
  readonly as: string | undefined;
  readonly to: string | undefined;
  readonly acceptReplace: boolean;
  /** Patterns. */
  readonly paths: readonly string[];
  readonly dryRun: boolean;
  readonly undo: boolean;
}
