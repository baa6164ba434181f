import type { CatalogNode, FileNode, FolderNode, LinkNode, PackRef } from '@cresus-safe/protocol';
import { linkStaysInside, NameMap, type NameRules } from './names.ts';

/** A file to be written, with its place in the restored tree (relative, `/` between parts). */
export interface PlannedFile {
  readonly node: FileNode;
  readonly placed: string;
}

/** One run of a file in a pack. */
export interface Run {
  /** Index into `Plan.files`. */
  readonly file: number;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  /** Where it belongs in the file. */
  readonly position: number;
}

/** A path with why it is not as it was. */
export interface Reported {
  readonly path: string;
  readonly code: string;
}

/** What a restore does, by pack, so that each pack is fetched and each segment opened once. */
export interface Plan {
  readonly files: readonly PlannedFile[];
  readonly folders: readonly { readonly node: FolderNode; readonly placed: string }[];
  readonly links: readonly { readonly node: LinkNode; readonly placed: string }[];
  readonly packs: ReadonlyMap<PackRef, readonly Run[]>;
  readonly bytes: number;
  /** What the snapshot itself could not hold, and links that are not recreated. */
  readonly problems: readonly Reported[];
  readonly renamed: readonly { readonly from: string; readonly to: string }[];
}

/** Plans the restore of a catalog's nodes onto a file system with these rules for names. */
export function planRestore(nodes: readonly CatalogNode[], rules: NameRules): Plan {
  const names = new NameMap(rules);
  const files: PlannedFile[] = [];
  const folders: Plan['folders'][number][] = [];
  const links: Plan['links'][number][] = [];
  const problems: Reported[] = [];
  const packs = new Map<PackRef, Run[]>();
  let bytes = 0;
  for (const node of nodes) {
    if (node.type === 'problem') {
      problems.push({ path: node.path, code: node.reason });
      continue;
    }
    if (node.type === 'link' && !linkStaysInside(node.path, node.target)) {
      problems.push({ path: node.path, code: 'link-leaves' });
      continue;
    }
    const placed = names.place(node.path, node.type === 'folder');
    if (node.type === 'folder') folders.push({ node, placed });
    else if (node.type === 'link') links.push({ node, placed });
    else {
      addRuns(packs, node, files.push({ node, placed }) - 1);
      bytes += node.size;
    }
  }
  return { files, folders, links, packs, bytes, problems, renamed: names.renamed };
}

function addRuns(packs: Map<PackRef, Run[]>, node: FileNode, file: number): void {
  let position = 0;
  for (const { packRef, segment, offset, length } of node.extents) {
    const runs = packs.get(packRef);
    const run = { file, segment, offset, length, position };
    if (runs === undefined) packs.set(packRef, [run]);
    else runs.push(run);
    position += length;
  }
}
