import { constants } from 'node:fs';
import { link, open, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OperatorError } from '../errors.ts';
import { KeyRing } from './ring.ts';

/**
 * Reads the key ring; undefined when the file does not exist.
 *
 * @throws OperatorError `keys.invalid`, or `keys.exposed` when others than its owner can read it
 */
export async function readRing(file: string, random: (n: number) => Uint8Array): Promise<KeyRing | undefined> {
  try {
    const { mode } = await stat(file);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) throw new OperatorError('keys.exposed', { file }, 1);
    return KeyRing.parse(await readFile(file, 'utf8'), random);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (error instanceof OperatorError && error.key === 'keys.invalid')
      throw new OperatorError('keys.invalid', { file }, 1, { cause: error });
    throw error;
  }
}

/**
 * Writes a ring to a file that does not exist yet (0600, durable). The whole text appears under its name or nothing, and
 * `link` never replaces: two servers that start at once never both believe that their ring is the ring.
 *
 * @throws OperatorError `keys.exists`
 */
export async function createRingFile(file: string, ring: KeyRing): Promise<void> {
  const temporary = await writeBeside(file, ring);
  try {
    await link(temporary, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new OperatorError('keys.exists', { file }, 1);
    throw error;
  } finally {
    await unlink(temporary);
  }
  await syncFolder(dirname(file));
}

/** Replaces the ring file; a crash leaves the old one or the new one. */
export async function replaceRingFile(file: string, ring: KeyRing): Promise<void> {
  await rename(await writeBeside(file, ring), file);
  await syncFolder(dirname(file));
}

async function writeBeside(file: string, ring: KeyRing): Promise<string> {
  const temporary = `${file}.${process.pid}.new`;
  await rm(temporary, { force: true });
  const handle = await open(temporary, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
  try {
    await handle.writeFile(ring.serialize());
    await handle.sync();
  } finally {
    await handle.close();
  }
  return temporary;
}

async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return; // a folder cannot be opened for syncing there
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
