import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { CatalogNode, FileNode } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { scanMandate } from '../mandate/scan.ts';
import type { DiffNode } from './diff-trees.ts';

/** Files and links of a catalog. */
export function catalogFiles(nodes: readonly CatalogNode[]): DiffNode[] {
  return nodes.flatMap((node) => {
    if (node.type === 'file') return [{ path: node.path, size: node.size, content: node.sha256 }];
    if (node.type === 'link') return [{ path: node.path, size: 0, content: linkContent(node.target) }];
    return [];
  });
}

function linkContent(target: string): string {
  return `link:${target}`;
}

/**
 * Files and links of a folder as they are now. A file that has the size and time of the state it is compared with is
 * taken for unchanged, as a send takes it; every other one whose content could be that of some file is read.
 * @throws AgentError `path-missing`, `interrupted`
 */
export async function diskFiles(
  folder: string,
  before: readonly CatalogNode[],
  signal: AbortSignal,
): Promise<DiffNode[]> {
  const known = new Map(before.flatMap((node) => (node.type === 'file' ? [[node.path, node] as const] : [])));
  const sizes = new Set([...known.values()].map(({ size }) => size));
  const nodes: DiffNode[] = [];
  for (const node of await scanMandate(folder, { signal })) {
    if (signal.aborted) throw new AgentError('interrupted', 'interrupted');
    if (node.type === 'link') nodes.push({ path: node.path, size: 0, content: linkContent(node.target) });
    if (node.type !== 'file') continue;
    const { path, stat } = node;
    const { size } = stat;
    const content = isUntouched(known.get(path), node) ?? (sizes.has(size) ? await hashOf(join(folder, path)) : 'new');
    nodes.push({ path, size, content });
  }
  return nodes;
}

/** The content of a file that has the size and time it was saved with. */
function isUntouched(
  saved: FileNode | undefined,
  { mtime, stat }: { mtime: number; stat: { size: number } },
): string | undefined {
  return saved && saved.size === stat.size && saved.mtime === mtime ? saved.sha256 : undefined;
}

/** SHA-256 of a file as hex; `unreadable` when it cannot be read, which is no content of any file. */
export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  } catch {
    return 'unreadable'; // it differs from whatever was saved, and a send will name it
  }
  return hash.digest('hex');
}
