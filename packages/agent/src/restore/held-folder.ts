import { closeSync, constants, existsSync, fstatSync, lstatSync, openSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { onDisk } from '../local/files.ts';

/**
 * A folder that stays the same one while it is held, whatever happens to its name or to those of the folders above it
 * (MS-38: a local attacker who may rename in a folder above swaps it for a link). On Linux all paths lead through the open
 * descriptor (`/proc/<pid>/fd/<n>`), also for worker threads and the programs we start; elsewhere through its name.
 */
export class HeldFolder {
  /** As the user would write it: for messages, and for what must be found again after a crash. */
  readonly path: string;
  readonly #descriptor: number | undefined;
  readonly #base: string;

  private constructor(path: string, descriptor: number | undefined, base: string) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#base = base;
  }

  /**
   * @param links 'follow' where the user chose the path; 'own' where a link can only be an attacker's
   * @param through the path to open, when it is reached through another held folder
   * @throws AgentError `permission`, `path-missing`
   */
  static open(path: string, links: 'follow' | 'own', through: string = path): HeldFolder {
    if (!hasDescriptorPaths()) return new HeldFolder(path, undefined, through);
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | (links === 'own' ? constants.O_NOFOLLOW : 0);
    try {
      const descriptor = onDisk(path, () => openSync(through, flags));
      return new HeldFolder(path, descriptor, `/proc/${process.pid}/fd/${descriptor}`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ELOOP' || code === 'ENOTDIR')
        throw new AgentError('permission', `no folder of ours: ${path}`, {
          params: { path },
          details: { path },
          cause: error,
        });
      if (code === 'ENOENT') throw new AgentError('path-missing', `gone: ${path}`, { params: { path }, cause: error });
      throw error;
    }
  }

  /** The path of something in it. */
  at(name: string): string {
    return join(this.#base, name);
  }

  stats(): Stats {
    return this.#descriptor === undefined ? lstatSync(this.#base) : fstatSync(this.#descriptor);
  }

  /** A message of the system in the user's words. */
  shown(text: string): string {
    return text.replaceAll(this.#base, this.path);
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }
}

function hasDescriptorPaths(): boolean {
  return process.platform === 'linux' && existsSync('/proc/self/fd');
}
