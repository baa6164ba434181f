import { chooseFile, requireFree } from '../copies/copy-file.ts';
import type { CopySource } from '../copies/copy-source.ts';
import type { WrittenCopy } from '../copies/write-copy.ts';
import { AgentError, EXIT_PARTIAL } from '../errors.ts';
import { getMandate, loadMandates } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { counted, durationText, sizeText, visible } from '../render/text.ts';
import { checkComment } from './comment.ts';
import type { Context } from './context.ts';
import { newCopyPassword } from './copy-password.ts';
import { lockHome } from './home-lock.ts';
import { openSafe, warner } from './open.ts';
import { mandateIdOf, openPointsIfAny } from './open-points.ts';
import { problemText } from './show.ts';
import { chooseSnapshot, snapshotsOf } from './snapshots.ts';

export interface CopyArgs {
  readonly name: string;
  readonly file: string;
  readonly comment: string | undefined;
  readonly encrypt: boolean;
  readonly overwrite: boolean;
  readonly point: string | undefined;
  readonly snapshot: string | undefined;
}

const LISTED = 20;

/**
 * Writes a copy of a mandate, of one of its points or of a snapshot into one file. Only a snapshot needs the server.
 * @returns exit code 0; 3 when something of the mandate is not in the copy
 */
export async function copy(context: Context, args: CopyArgs): Promise<Outcome> {
  checkComment(args.comment);
  if (args.point !== undefined && args.snapshot !== undefined)
    throw new AgentError('usage', 'a point and a snapshot', { key: 'error.copy-two-sources' });
  using _lock = await lockHome(context);
  const { source, close } = await openSource(context, args);
  try {
    // before anybody types a password twice for nothing
    requireFree(chooseFile(args.file, source.mandate.name, source.createdAt), args.overwrite);
    const password = args.encrypt ? await newCopyPassword(context) : undefined;
    const written = await write(context, args, source, password);
    return outcome(context, source, written);
  } finally {
    close();
  }
}

interface OpenedSource {
  readonly source: CopySource;
  close(): void;
}

async function openSource(context: Context, args: CopyArgs): Promise<OpenedSource> {
  if (args.point !== undefined) return pointSource(context, args.name, args.point);
  if (args.snapshot !== undefined) return safeSource(context, args.name, args.snapshot);
  const { home, now, signal } = context;
  const mandate = getMandate(loadMandates(home), args.name);
  const { requireClosed } = await import('../open-modules/open-modules.ts');
  await requireClosed(mandate, warner(context));
  const { MandateSource } = await import('../copies/mandate-source.ts');
  return { source: new MandateSource({ mandate, now, signal }), close: () => undefined };
}

async function pointSource(context: Context, name: string, wanted: string): Promise<OpenedSource> {
  const points = await openPointsIfAny(context);
  try {
    const mandateId = mandateIdOf(context, points, name);
    const all = points?.vault.snapshots() ?? [];
    const found = chooseSnapshot(
      all.filter((snapshot) => snapshot.mandateId === mandateId),
      wanted,
      name,
    );
    if (points === undefined) throw new AgentError('not-found', 'there are no points');
    const { pointOf } = await import('../points/store.ts');
    const { snapshotSource } = await import('../copies/snapshot-source.ts');
    const { comment } = pointOf(found);
    const options = {
      vault: points.vault,
      snapshot: found.id,
      kind: 'point',
      comment,
      signal: context.signal,
    } as const;
    return { source: await snapshotSource(options), close: () => points.close() };
  } catch (error) {
    points?.close();
    throw error;
  }
}

async function safeSource(context: Context, name: string, wanted: string): Promise<OpenedSource> {
  const safe = await openSafe(context, 'read');
  try {
    const { id, comment } = chooseSnapshot(snapshotsOf(context, safe.vault, name), wanted, name);
    const { snapshotSource } = await import('../copies/snapshot-source.ts');
    const options = { vault: safe.vault, snapshot: id, kind: 'snapshot', comment, signal: context.signal } as const;
    return { source: await snapshotSource(options), close: () => safe.close() };
  } catch (error) {
    safe.close();
    throw error;
  }
}

async function write(
  context: Context,
  { file, overwrite, comment }: CopyArgs,
  source: CopySource,
  password: string | undefined,
): Promise<WrittenCopy> {
  const { output, texts, signal, version: agentVersion, now } = context;
  const progress = new Progress(output, texts, 'copy', visible(source.mandate.name));
  const { writeCopy } = await import('../copies/write-copy.ts');
  let done = false;
  try {
    const written = await writeCopy({
      ...{ source, file, overwrite, comment, password, agentVersion, now, signal },
      onProgress: ({ files, bytes, totalBytes }) => progress.update({ files, bytes, totalBytes }),
    });
    done = true;
    return written;
  } finally {
    progress.finish(done);
  }
}

function outcome(context: Context, { mandate, kind, id }: CopySource, written: WrittenCopy): Outcome {
  const { plainBytes, ...facts } = written;
  return {
    json: { mandate: mandate.name, ...facts, contentBytes: plainBytes, source: { kind, id: id ?? null } },
    lines: lines(context, mandate.name, written),
    exitCode: written.problems.length > 0 ? EXIT_PARTIAL : 0,
  };
}

function lines({ texts }: Context, mandate: string, written: WrittenCopy): string[] {
  const { file, files, plainBytes, bytes, encrypted, durationMs, sha256, problems } = written;
  const { language } = texts;
  const left = problems.length - LISTED;
  return [
    `✓ ${texts('copies.done', {
      name: visible(mandate),
      files: counted(texts, 'files', files),
      bytes: sizeText(plainBytes, language),
      path: visible(file),
    })}`,
    texts(encrypted ? 'copies.details-encrypted' : 'copies.details', {
      size: sizeText(bytes, language),
      duration: durationText(durationMs, language),
    }),
    texts('copies.sha256', { sha256 }),
    ...(encrypted ? [texts('copies.keep-password')] : []),
    ...(problems.length === 0 ? [] : [texts('copies.problems', { count: problems.length })]),
    ...problems.slice(0, LISTED).map(({ path, code }) => `    ${problemText(texts, path, code)}`),
    ...(left > 0 ? [texts('send.more', { count: left })] : []),
  ];
}
