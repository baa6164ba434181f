import { AgentError } from '../errors.ts';
import { diskError } from '../local/files.ts';

/** What can be wrong with a copy; each has a message of its own (`error.copy-<defect>`). */
export type CopyDefect =
  | 'not-a-copy'
  | 'truncated'
  | 'manifest'
  | 'version'
  | 'hash'
  | 'extra'
  | 'missing'
  | 'size'
  | 'bomb'
  | 'path'
  | 'duplicate'
  | 'link'
  | 'entry-encrypted'
  | 'method'
  | 'headers'
  | 'overlap'
  | 'tampered';

/** Names of hostile copies may have any length. */
const MAX_SHOWN = 300;

/** A copy that is not what it should be: exit code 10, `details.defect` says what. */
export function copyDefect(
  defect: CopyDefect,
  facts: Record<string, string | number> = {},
  cause?: unknown,
): AgentError {
  const params = Object.fromEntries(
    Object.entries(facts).map(([key, value]) => [key, typeof value === 'string' ? value.slice(0, MAX_SHOWN) : value]),
  );
  const told = Object.entries(params).map(([key, value]) => `${key} ${value}`);
  return new AgentError('integrity', `copy: ${[defect, ...told].join(', ')}`, {
    key: `error.copy-${defect}`,
    hint: defect === 'version' ? 'hint.copy-version' : 'hint.copy-damaged',
    params,
    details: { defect, ...params },
    ...(cause !== undefined && { cause }),
  });
}

/** The typed form of an error of the disk that the copy is written to; `path` is the user's. */
export function copyDiskError(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  // FAT32 ends at 4 GiB; a limit of the system or of the process says the same
  if (code === 'EFBIG')
    return new AgentError('disk-full', `the file system takes no file as big as ${path}`, {
      key: 'error.copy-too-big',
      hint: 'hint.copy-too-big',
      params: { path },
      details: { path, reason: 'file-too-big' },
      cause: error,
    });
  return diskError(error, path);
}
