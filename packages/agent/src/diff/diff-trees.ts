/** A file or link of a state of a mandate. */
export interface DiffNode {
  readonly path: string;
  readonly size: number;
  /** What makes two files the same: the SHA-256, or what stands for it. */
  readonly content: string;
}

export interface DiffEntry {
  readonly path: string;
  readonly size: number;
}

export interface ChangedEntry extends DiffEntry {
  readonly sizeBefore: number;
}

export interface RenamedEntry extends DiffEntry {
  readonly from: string;
}

/** What lies between two states of a mandate; each list in the order of the paths. */
export interface TreeDiff {
  readonly added: readonly DiffEntry[];
  readonly changed: readonly ChangedEntry[];
  readonly removed: readonly DiffEntry[];
  /** Gone from one path, there under another, with the same content: it looks renamed or moved. */
  readonly renamed: readonly RenamedEntry[];
  readonly unchanged: number;
}

/** Compares two states by path and content; what only has another time is unchanged. Empty files never look renamed. */
export function diffTrees(before: readonly DiffNode[], after: readonly DiffNode[]): TreeDiff {
  const old = new Map(before.map((node) => [node.path, node]));
  const now = new Set(after.map(({ path }) => path));
  const changed: ChangedEntry[] = [];
  const fresh: DiffNode[] = [];
  let unchanged = 0;
  for (const node of after) {
    const was = old.get(node.path);
    if (was === undefined) fresh.push(node);
    else if (was.content === node.content) unchanged += 1;
    else changed.push({ path: node.path, size: node.size, sizeBefore: was.size });
  }
  const gone = before.filter(({ path }) => !now.has(path));
  const { renamed, added, removed } = pairUp(gone, fresh);
  return { added, changed, removed, renamed, unchanged };
}

/** Pairs each new file with one that is gone and has its content; each of those is taken once. */
function pairUp(
  gone: readonly DiffNode[],
  fresh: readonly DiffNode[],
): Pick<TreeDiff, 'added' | 'removed' | 'renamed'> {
  const byContent = Map.groupBy(
    gone.filter(({ size }) => size > 0),
    ({ content }) => content,
  );
  const taken = new Set<DiffNode>();
  const renamed: RenamedEntry[] = [];
  const added: DiffEntry[] = [];
  for (const { path, size, content } of fresh) {
    const candidates = size > 0 ? byContent.get(content)?.filter((node) => !taken.has(node)) : undefined;
    // of several with this content, the one that kept its name
    const from = candidates?.find((node) => nameOf(node.path) === nameOf(path)) ?? candidates?.[0];
    if (from === undefined) added.push({ path, size });
    else {
      taken.add(from);
      renamed.push({ from: from.path, path, size });
    }
  }
  const removed = gone.filter((node) => !taken.has(node)).map(({ path, size }) => ({ path, size }));
  return { renamed, added, removed };
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
