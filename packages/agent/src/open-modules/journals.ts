import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Suffixes of the files that SQLite keeps beside a database while it is open. */
export const JOURNAL_SUFFIXES: readonly string[] = ['-journal', '-wal'];

/** How files beside the books are opened: a pipe of such a name must not keep us waiting for its writer. */
export const NEVER_WAITING = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Bytes of a rollback journal's header that SQLite zeroes when it ends a transaction with journal_mode=PERSIST. */
const HEADER_BYTES = 28;

/**
 * Whether a journal that nobody has open holds something: its database was not closed cleanly. Empty ones and rollback
 * journals with a zeroed header are what SQLite leaves after a clean close (fileformat2.html, section 3).
 */
export function isUnclean(path: string): boolean {
  try {
    const file = openSync(path, NEVER_WAITING);
    try {
      const stat = fstatSync(file);
      const { size } = stat;
      if (!stat.isFile() || size === 0) return false;
      if (!path.endsWith('-journal')) return true;
      const header = Buffer.alloc(HEADER_BYTES);
      readSync(file, header, 0, HEADER_BYTES, 0);
      return header.some((byte) => byte !== 0);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}
