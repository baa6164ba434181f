const MAX_PATH_BYTES = 4096;
const MAX_NAME_BYTES = 255;

/** Why a path may not stand in a copy. */
export type PathDefect = 'absolute' | 'drive' | 'backslash' | 'nul' | 'dots' | 'empty' | 'long' | 'text';

/**
 * The defect of a relative path, if it has one (MS-32). A backslash is one: half of all programs that unpack a ZIP file take it
 * for the border of a folder. So is a drive at the beginning, whatever its letter (CVE-2019-1351).
 */
export function pathDefect(path: string): PathDefect | undefined {
  if (!path.isWellFormed()) return 'text';
  if (path.includes('\0')) return 'nul';
  if (path.includes('\\')) return 'backslash';
  if (path.startsWith('/')) return 'absolute';
  if (/^.:/su.test(path)) return 'drive';
  const parts = path.split('/');
  if (parts.includes('.') || parts.includes('..')) return 'dots';
  if (parts.includes('')) return 'empty';
  const isLong = path.length * 3 > MAX_NAME_BYTES && parts.some((part) => Buffer.byteLength(part) > MAX_NAME_BYTES);
  return isLong || Buffer.byteLength(path) > MAX_PATH_BYTES ? 'long' : undefined;
}
