import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AgentError, toAgentError } from '../errors.ts';
import { onDisk } from '../local/files.ts';
import { isCopyName } from './copy-file.ts';
import type { Manifest, ManifestHead } from './manifest.ts';
import { isEncryptedCopy, openCopy } from './open-copy.ts';

/** A copy as lists show it. */
export interface CopyInfo {
  readonly name: string;
  readonly path: string;
  /** Size of the file. */
  readonly bytes: number;
  /** When the file was written last: ms since 1970. */
  readonly modifiedAt: number;
  /** Undefined when the file cannot even be begun to read. */
  readonly encrypted: boolean | undefined;
  /** What the copy says of itself; undefined when it was not opened. */
  readonly about: (ManifestHead & Pick<Manifest, 'files' | 'bytes' | 'problems'>) | undefined;
  /** Every hash was compared: true or false; undefined when that was not asked. */
  readonly verified: boolean | undefined;
  /** Why it cannot be used. An encrypted copy without a password has none: it is only not known. */
  readonly error: AgentError | undefined;
}

export interface ListOptions {
  /** For the encrypted ones. */
  readonly password?: string | undefined;
  /** Reads every copy whole and compares every hash. */
  readonly verify?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (name: string, bytes: number, totalBytes: number) => void;
}

/**
 * The copies lying directly in a folder, by name.
 * @throws AgentError `path-missing`, `permission`
 */
export async function* listCopies(dir: string, options: ListOptions = {}): AsyncGenerator<CopyInfo> {
  const folder = resolve(dir);
  for (const name of namesIn(folder)) {
    if (options.signal?.aborted) throw new AgentError('interrupted', 'interrupted');
    const path = join(folder, name);
    const found = statSync(path, { throwIfNoEntry: false });
    if (!isCopyName(name) || !found?.isFile()) continue;
    yield {
      name,
      path,
      bytes: found.size,
      modifiedAt: Math.floor(found.mtimeMs),
      ...(await look(path, name, options)),
    };
  }
}

function namesIn(folder: string): string[] {
  try {
    return onDisk(folder, () => readdirSync(folder)).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    throw new AgentError('path-missing', `${folder} is no folder`, {
      params: { path: folder },
      details: { path: folder },
    });
  }
}

type Look = Pick<CopyInfo, 'encrypted' | 'about' | 'verified' | 'error'>;

async function look(path: string, name: string, options: ListOptions): Promise<Look> {
  let encrypted: boolean | undefined;
  let about: Look['about'];
  try {
    encrypted = await isEncryptedCopy(path);
    if (encrypted && !options.password) return { encrypted, about, verified: undefined, error: undefined };
    const copy = await openCopy(path, { password: options.password });
    try {
      const { nodes: _, ...rest } = copy.manifest;
      about = rest;
      if (!options.verify) return { encrypted, about, verified: undefined, error: undefined };
      let bytes = 0;
      const advanced = (more: number): void => {
        bytes += more;
        options.onProgress?.(name, bytes, rest.bytes);
      };
      await copy.verify(advanced, options.signal);
      return { encrypted, about, verified: true, error: undefined };
    } finally {
      await copy.close();
    }
  } catch (error) {
    const typed = toAgentError(error);
    if (typed.kind === 'interrupted') throw typed;
    return { encrypted, about, verified: options.verify ? false : undefined, error: typed };
  }
}
