import type { ModuleFile } from '../mandate/modules.ts';
import type { CopyProblem, SourceKind } from './manifest.ts';

/** A file or folder that a copy shall hold, as it was seen when the pass began. */
export interface SourceNode {
  readonly type: 'file' | 'folder';
  readonly path: string;
  /** µs since 1970. */
  readonly mtime: number;
  readonly mode: number;
  /** 0 for a folder. */
  readonly size: number;
  /** Where it is known already: what is read must have it. */
  readonly sha256?: string;
}

/** A file being read: its facts belong to the bytes that follow, in blocks of at most `BLOCK_BYTES`, each a buffer of its own. */
export interface SourceFile {
  readonly mtime: number;
  readonly mode: number;
  readonly size: number;
  readonly blocks: AsyncIterable<Buffer>;
}

/** What a pass over a source shall copy. */
export interface SourcePass {
  /** Folders and files in the order of a catalog. */
  readonly nodes: readonly SourceNode[];
  /** The files of `nodes` in the order in which they are best read. */
  readonly files: readonly SourceNode[];
  readonly problems: readonly CopyProblem[];
  /** About how many bytes the copy will take. */
  readonly expectedBytes: number;
}

/** Where the content of a copy comes from: a mandate on disk, an automatic point, or a snapshot. */
export interface CopySource {
  readonly kind: SourceKind;
  /** Of the point or snapshot. */
  readonly id: string | undefined;
  /** The state of the data: ms since 1970. */
  readonly createdAt: number;
  readonly mandate: { readonly name: string; readonly id: string };
  readonly modules: readonly ModuleFile[];
  readonly comment: string;
  /** The folder that is read: no copy may be written into it. */
  readonly folder: string | undefined;
  begin(): Promise<SourcePass>;
  /**
   * Opens the next file. A problem is one that cannot be read; the copy goes on without it.
   * @throws SourceChanged (also while the blocks are read) when the pass must begin again
   */
  read(node: SourceNode): Promise<SourceFile | CopyProblem>;
  /** After the last file. @throws SourceChanged when what was read is no consistent set */
  end(): Promise<void>;
}

/** What was read changed meanwhile: the pass is void, and the source has noted what to leave out or to refuse next time. */
export class SourceChanged extends Error {
  override readonly name = 'SourceChanged';
  readonly path: string;

  constructor(path: string) {
    super(`${path} changed while it was read`);
    this.path = path;
  }
}
