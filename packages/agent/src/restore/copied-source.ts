import { createHash } from 'node:crypto';
import { lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asHash, type CatalogNode } from '@cresus-safe/protocol';
import type { TreeFile, TreeNode } from '../copies/manifest.ts';
import type { OpenedCopy } from '../copies/open-copy.ts';
import { toAgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { eachAtOnce } from './lanes.ts';
import type { PlannedFile } from './plan.ts';
import { stopWhenAborted } from './slices.ts';
import type { Filling, RestoreSource, SourceFacts } from './source.ts';

/** Inflating takes Node's thread pool: more than its four threads would only wait. */
const AT_ONCE = 4;

/** A copy in one file. The caller closes it. */
export function copiedSource(copy: OpenedCopy, signal?: AbortSignal): RestoreSource {
  return new CopiedSource(copy, signal);
}

class CopiedSource implements RestoreSource {
  readonly kind = 'copy';
  readonly id: string;
  readonly createdAt: number;
  readonly comment: string;
  readonly mandateId: string;
  readonly mandateName: string;
  readonly modules: SourceFacts['modules'];
  readonly files: number;
  readonly bytes: number;
  readonly downloaded = 0;
  readonly #copy: OpenedCopy;
  readonly #signal: AbortSignal | undefined;

  constructor(copy: OpenedCopy, signal: AbortSignal | undefined) {
    const { manifest } = copy;
    this.#copy = copy;
    this.#signal = signal;
    this.id = identityOf(copy);
    this.createdAt = manifest.createdAt;
    this.comment = manifest.comment;
    this.mandateId = manifest.mandate.id;
    this.mandateName = manifest.mandate.name;
    this.modules = manifest.modules;
    this.files = manifest.files;
    this.bytes = manifest.bytes;
  }

  async readTree(): Promise<readonly CatalogNode[]> {
    stopWhenAborted(this.#signal);
    const { nodes, problems } = this.#copy.manifest;
    const lacking = problems.map(
      ({ path, code }) => ({ type: 'problem', path, mtime: 0, mode: 0, reason: code }) as const,
    );
    return [...nodes.map(asCatalogNode), ...lacking];
  }

  async fill({ plan, tree, signal, done, damage, advanced }: Filling): Promise<void> {
    const byPath = new Map(this.#copy.nodes.map((node) => [node.path, node]));
    const wanted = plan.files.keys().filter((file) => !done.has(file));
    await eachAtOnce(AT_ONCE, wanted, async (file) => {
      stopWhenAborted(signal);
      const { node, placed } = plan.files[file] as PlannedFile;
      const path = join(tree, placed);
      if (await this.#extracted(byPath.get(node.path) as TreeFile, path)) advanced(1, node.size);
      else damage.set(file, 'damaged');
    });
  }

  /** @returns false when the copy's content is not what its manifest says */
  async #extracted(node: TreeFile, path: string): Promise<boolean> {
    // a killed run may have left half a file, which `done` does not name
    if (lstatSync(path, { throwIfNoEntry: false })) rmSync(path, { recursive: true });
    crashPoint('restore-write');
    try {
      await this.#copy.extract(node, path);
      return true;
    } catch (error) {
      const typed = toAgentError(error);
      if (typed.kind !== 'integrity') throw typed;
      return false;
    }
  }
}

function asCatalogNode(node: TreeNode): CatalogNode {
  return node.type === 'folder' ? node : { ...node, sha256: asHash(node.sha256), extents: [] };
}

/** What makes two copies the same for a restore that goes on where a killed one stopped: the same list of the same files. */
function identityOf({ manifest }: OpenedCopy): string {
  const hash = createHash('sha256').update(`${manifest.mandate.id} ${manifest.createdAt}\n`);
  for (const node of manifest.nodes) hash.update(`${node.path}\0${node.type === 'file' ? node.sha256 : ''}\n`);
  return hash.digest('hex');
}
