import { resolve } from 'node:path';
import type { CopyInfo } from '../copies/list-copies.ts';
import { EXIT_CODES } from '../errors.ts';
import { explain, type Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { brief, counted, momentText, sizeText, table, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { unattendedPassword } from './copy-password.ts';

export interface CopiesArgs {
  readonly dir: string;
  readonly verify: boolean;
}

/**
 * Lists the copies in a folder, newest first. Encrypted ones are opened with `CRESUS_SAFE_COPY_PASSWORD`, else only named.
 * @returns exit code 10 when `--verify` found one that cannot be restored
 */
export async function copies(context: Context, args: CopiesArgs): Promise<Outcome> {
  const found = await collect(context, args);
  found.sort((a, b) => momentOf(b) - momentOf(a));
  const isBad = args.verify && found.some(({ error }) => error !== undefined);
  return {
    json: { copies: found.map((info) => copyJson(context, info)) },
    lines: linesOf(context, args, found),
    exitCode: isBad ? EXIT_CODES.integrity : 0,
  };
}

async function collect(context: Context, { dir, verify }: CopiesArgs): Promise<CopyInfo[]> {
  const { output, texts, signal } = context;
  const { listCopies } = await import('../copies/list-copies.ts');
  const progress = new Progress(output, texts, 'copy', visible(resolve(dir)));
  const onProgress = (_: string, bytes: number, totalBytes: number): void => progress.update({ bytes, totalBytes });
  try {
    const options = { password: unattendedPassword(context), verify, signal, onProgress };
    return await Array.fromAsync(listCopies(dir, options));
  } finally {
    progress.finish(false);
  }
}

function momentOf({ about, modifiedAt }: CopyInfo): number {
  return about?.createdAt ?? modifiedAt;
}

function copyJson({ texts }: Context, info: CopyInfo): Record<string, unknown> {
  const { name, path, bytes, modifiedAt, encrypted, verified, about, error } = info;
  return {
    ...{ file: path, name, bytes, modifiedAt },
    encrypted: encrypted ?? null,
    verified: verified ?? null,
    mandate: about?.mandate.name ?? null,
    mandateId: about?.mandate.id ?? null,
    createdAt: about?.createdAt ?? null,
    writtenAt: about?.writtenAt ?? null,
    comment: about?.comment ?? null,
    source: about ? { kind: about.source.kind, id: about.source.id ?? null } : null,
    files: about?.files ?? null,
    contentBytes: about?.bytes ?? null,
    problems: about?.problems.length ?? null,
    error: error ? { code: error.kind, ...explain(error, texts), details: error.details } : null,
  };
}

function linesOf({ texts }: Context, { dir }: CopiesArgs, found: readonly CopyInfo[]): string[] {
  if (found.length === 0) return [texts('copies.none', { path: visible(resolve(dir)) })];
  const rows = found.map((info) => [
    momentText(momentOf(info)),
    visible(info.about?.mandate.name ?? '?'),
    info.about ? counted(texts, 'files', info.about.files) : '',
    sizeText(info.bytes, texts.language),
    marks(texts, info),
    visible(info.name),
  ]);
  const bad = found.flatMap(({ name, error }) =>
    error ? [texts('copies.bad', { name: visible(name), reason: explain(error, texts).message })] : [],
  );
  const isLocked = found.some(({ encrypted, about, error }) => encrypted && !about && !error);
  return [...table(rows, [2, 3]), ...bad, ...(isLocked ? [texts('copies.wanted')] : [])];
}

function marks(texts: Context['texts'], { encrypted, about, verified, error }: CopyInfo): string {
  const comment = about?.comment ?? '';
  return [
    error ? '✗' : '',
    verified ? texts('copies.verified') : '',
    encrypted ? texts(about ? 'copies.encrypted' : 'copies.locked') : '',
    about && about.problems.length > 0 ? texts('copies.incomplete') : '',
    comment ? texts('snapshots.comment', { comment: brief(comment, 60) }) : '',
  ]
    .filter((mark) => mark !== '')
    .join(', ');
}
