import { EXIT_CODES } from '../errors.ts';
import type { CheckResult, DamagedPoint } from '../points/check.ts';
import type { Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { brief, counted, countText, momentText, sizeText, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { mandateIdOf, openPointsIfAny } from './open-points.ts';
import { problemLine } from './verify-report.ts';

const LISTED = 20;

/**
 * Reads all points of this computer, or those of one mandate, and says which files of a damaged one are still good.
 * @returns exit code 0, or 10 when anything is damaged or gone
 */
export async function verifyPoints(context: Context, name: string | undefined): Promise<Outcome> {
  using _lock = await lockHome(context);
  const points = await openPointsIfAny(context);
  try {
    const mandateId = name === undefined ? undefined : mandateIdOf(context, points, name);
    if (points === undefined) return outcome(context, NONE);
    const { output, texts, signal } = context;
    const progress = new Progress(output, texts, 'verify', texts('points.title'));
    const { checkPoints } = await import('../points/check.ts');
    let done = false;
    try {
      const shown = (packs: number, totalBytes: number): void =>
        progress.update({ bytes: packs, totalBytes, files: packs });
      const result = await checkPoints({ points, mandateId, signal, progress: shown });
      done = true;
      return outcome(context, result);
    } finally {
      progress.finish(done);
    }
  } finally {
    points?.close();
  }
}

const NONE: CheckResult = { checked: { packs: 0, bytes: 0, snapshots: 0 }, problems: [], damaged: [] };

function outcome(context: Context, result: CheckResult): Outcome {
  const { checked, problems, damaged } = result;
  return {
    json: { checked, problems, damaged: damaged.map(damagedJson) },
    lines: lines(context, result),
    exitCode: problems.length > 0 ? EXIT_CODES.integrity : 0,
  };
}

function damagedJson({ point, good, bad }: DamagedPoint): Record<string, unknown> {
  const { id, mandateName, createdAt } = point;
  return { id, mandate: mandateName, createdAt, goodFiles: good ?? null, damagedFiles: bad ?? null };
}

function lines(context: Context, { checked, problems, damaged }: CheckResult): string[] {
  const { texts } = context;
  if (problems.length === 0) {
    const { snapshots: count, packs, bytes } = checked;
    const points = texts('points.count', { count, n: countText(count) });
    const params = { points, packs: counted(texts, 'packs', packs), bytes: sizeText(bytes, texts.language) };
    return [`✓ ${texts('points.verify-ok', params)}`];
  }
  return [
    `⚠ ${texts('verify.bad', { count: problems.length })}`,
    ...problems.map((problem) => `    ${problemLine(texts, problem)}`),
    ...damaged.flatMap((point) => damagedLines(texts, point)),
  ];
}

function damagedLines(texts: Context['texts'], { point, good, bad }: DamagedPoint): string[] {
  const { id, mandateName: name, createdAt } = point;
  const title = texts('points.damaged', { id: id.slice(0, 8), name: visible(name), date: momentText(createdAt) });
  if (good === undefined || bad === undefined) return [`${title} ${texts('points.list-damaged')}`];
  const left = bad.length - LISTED;
  return [
    `${title} ${texts('points.good', { good: counted(texts, 'files', good.length), bad: counted(texts, 'files', bad.length) })}`,
    ...bad.slice(0, LISTED).map((path) => `    ${brief(path, 300)}`),
    ...(left > 0 ? [`    ${texts('points.more', { count: left })}`] : []),
  ];
}
