import { realpathSync, unlinkSync } from 'node:fs';
import { dirname, isAbsolute, relative, sep } from 'node:path';
import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { FileSink } from './byte-sink.ts';
import { chooseFile, putInPlace, requireFree, requireSpace, sweepUnfinished, temporaryBeside } from './copy-file.ts';
import { CopyPass, interrupted, type WriteCopyOptions, type Written, type WrittenCopy } from './copy-pass.ts';
import { SourceChanged } from './copy-source.ts';
import { openCopy } from './open-copy.ts';

export type { CopyProgress, WriteCopyOptions, WrittenCopy } from './copy-pass.ts';

/**
 * Writes one `.pe-backup`: source → ZIP (→ age) → temporary file beside the target → durable → read back, every hash compared →
 * renamed. A crash at any moment leaves what was there before or the whole new copy (F-19).
 * @throws AgentError `acceptance-missing` when the file exists and `overwrite` is not given, `path-missing`, `usage`,
 *   `mandate-unstable`, `disk-full`, `read-only`, `permission`, `integrity` when what was read back differs, `interrupted`
 */
export async function writeCopy(options: WriteCopyOptions): Promise<WrittenCopy> {
  const started = performance.now();
  const { source, overwrite, now } = options;
  const file = chooseFile(options.file, source.mandate.name, source.kind === 'mandate' ? now() : source.createdAt);
  requireOutside(file, source.folder);
  requireFree(file, overwrite);
  sweepUnfinished(dirname(file), now());
  const temporary = temporaryBeside(file);
  try {
    const written = await writeStable(options, file, temporary);
    crashPoint('copy-written');
    await readBack(options, temporary, written);
    crashPoint('copy-verified');
    if (options.signal?.aborted) throw interrupted();
    putInPlace(temporary, file, overwrite);
    return { file, ...written, durationMs: Math.round(performance.now() - started) };
  } catch (error) {
    discard(temporary);
    throw error;
  }
}

/** A copy in the folder that it copies would hold its elders, and grow without end. */
function requireOutside(file: string, folder: string | undefined): void {
  if (folder === undefined || !isWithin(realpathSync(folder), realpathSync(dirname(file)))) return;
  throw new AgentError('usage', `${file} lies in the mandate`, { key: 'error.copy-inside', params: { path: file } });
}

function isWithin(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

/** Passes over the source until one found it consistent. The source bounds their number: each failed one counts against a file. */
async function writeStable(options: WriteCopyOptions, file: string, temporary: string): Promise<Written> {
  for (;;) {
    const pass = await options.source.begin();
    requireSpace(file, pass.expectedBytes);
    const sink = await FileSink.create(temporary);
    try {
      return await new CopyPass(options, pass, sink).run();
    } catch (error) {
      if (!(error instanceof SourceChanged)) throw error;
      discard(temporary);
    } finally {
      await sink.close();
    }
  }
}

/** Opens what was written as anyone would, and compares the hash of every file. */
async function readBack(options: WriteCopyOptions, temporary: string, { files, plainBytes }: Written): Promise<void> {
  const { password, signal, onProgress } = options;
  const copy = await openCopy(temporary, { password });
  try {
    let bytes = 0;
    const advanced = (more: number): void => {
      bytes += more;
      onProgress?.({ phase: 'verify', files, bytes: (plainBytes + bytes) / 2, totalBytes: plainBytes });
    };
    await copy.verify(advanced, signal);
  } finally {
    await copy.close();
  }
}

function discard(temporary: string): void {
  try {
    unlinkSync(temporary);
  } catch {
    // never made, renamed already, or left for the next copy's sweep: what failed before matters more
  }
}
