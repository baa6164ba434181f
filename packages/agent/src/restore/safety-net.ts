/** The safety point that stands in for what a restore replaces. */
export interface MadeSafety {
  readonly id: string;
  /** Nothing is missing in it. */
  readonly complete: boolean;
}

/** What makes a replacement something that can be taken back. */
export interface SafetyNet {
  /** Makes a point of what will be replaced. @throws AgentError when that fails: then nothing is replaced */
  make(): Promise<MadeSafety>;
  /** Right before the swap. @throws AgentError `module-open` when somebody began to work meanwhile */
  requireStill(): Promise<void>;
  /** Whether the point holds everything of the folder that was just put aside, and every byte of it opens. */
  holdsAll(folder: string): Promise<boolean>;
}
