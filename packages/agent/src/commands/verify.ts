import { AgentError } from '../errors.ts';
import type { Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { counted, sizeText } from '../render/text.ts';
import type { Vault } from '../vault/vault.ts';
import type { VerifyResult } from '../verify/verify.ts';
import type { Context } from './context.ts';
import { lockIfFree } from './home-lock.ts';
import { openSafe } from './open.ts';
import { snapshotsOf } from './snapshots.ts';
import { problemLine } from './verify-report.ts';

export interface VerifyArgs {
  readonly name: string | undefined;
  /** Percent. */
  readonly sample: string | undefined;
  readonly full: boolean;
  /** The automatic points of this computer instead of the Safe. */
  readonly points: boolean;
}

/**
 * Checks that the Safe still gives what it acknowledged; `--sample` and `--full` also fetch and open data.
 * @returns exit code 10, 11, 12 or 13 for the gravest defect
 */
export async function verify(context: Context, args: VerifyArgs): Promise<Outcome> {
  if (args.points) return (await import('./verify-points.ts')).verifyPoints(context, args.name);
  const sample = args.full ? 100 : percent(args.sample);
  using lock = await lockIfFree(context);
  const safe = await openSafe(context, lock === undefined ? 'look' : 'read');
  try {
    const result = await run(context, safe.vault, args.name, sample);
    const { verifyExitCode } = await import('../verify/verify.ts');
    return {
      json: { ...result },
      lines: lines(context, result, sample !== undefined),
      exitCode: verifyExitCode(result),
    };
  } finally {
    safe.close();
  }
}

async function run(
  context: Context,
  vault: Vault,
  name: string | undefined,
  sample: number | undefined,
): Promise<VerifyResult> {
  const { output, texts, signal } = context;
  const mandateRef = name === undefined ? undefined : snapshotsOf(context, vault, name).at(-1)?.mandateRef;
  const progress = new Progress(output, texts, 'verify', name ?? 'Crésus Safe');
  const { verifyVault } = await import('../verify/verify.ts');
  let done = false;
  try {
    const result = await verifyVault({
      vault,
      mandateRef,
      sample,
      signal,
      progress: (packs, total) => progress.update({ bytes: packs, totalBytes: total, files: packs }),
    });
    done = sample !== undefined;
    return result;
  } finally {
    progress.finish(done);
  }
}

function percent(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text.replace(/\s*%$/, ''));
  if (value >= 1 && value <= 100) return value;
  throw new AgentError('usage', 'the sample is no percentage', { key: 'error.sample-percent', hint: 'hint.usage' });
}

function lines({ texts }: Context, { checked, problems }: VerifyResult, isRead: boolean): string[] {
  const { snapshots, packs, bytes } = checked;
  if (problems.length > 0)
    return [
      `⚠ ${texts('verify.bad', { count: problems.length })}`,
      ...problems.map((problem) => `    ${problemLine(texts, problem)}`),
    ];
  const params = {
    snapshots: counted(texts, 'snapshots', snapshots),
    packs: counted(texts, 'packs', packs),
    bytes: sizeText(bytes, texts.language),
  };
  // without reading, that packs are there is what the server says (MS-25, MS-26): the user must know what was not proved
  if (!isRead) return [`✓ ${texts('verify.listed', params)}`, `● ${texts('verify.server-says', params)}`];
  return [`✓ ${texts('verify.ok', params)}`];
}
