/** Chunks that lie joined at an address of the arena, with their lengths and ids. */
export interface ChunkRun {
  readonly data: number;
  readonly lengths: Uint32Array;
  /** Four words per chunk. */
  readonly ids: Uint32Array;
  /** Their checksums when they were read. */
  readonly checks: Uint32Array;
}
