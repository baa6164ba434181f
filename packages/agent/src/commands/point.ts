import { EXIT_PARTIAL } from '../errors.ts';
import { getMandate, loadMandates, type Mandate } from '../mandate/mandates.ts';
import { requireClosed } from '../open-modules/open-modules.ts';
import type { MadePoint } from '../points/make.ts';
import type { Points } from '../points/store.ts';
import type { Outcome } from '../render/output.ts';
import { Progress } from '../render/progress.ts';
import { counted, durationText, momentText, sizeText, visible } from '../render/text.ts';
import { standingOf } from './backup-standing.ts';
import { checkComment } from './comment.ts';
import type { Context } from './context.ts';
import { lockAfterWatch } from './home-lock.ts';
import { warner } from './open.ts';
import { openPointsHere } from './open-points.ts';
import { pointJson } from './points.ts';
import { problemLines } from './send-report.ts';

export interface PointArgs {
  readonly name: string;
  readonly comment: string | undefined;
}

/**
 * Makes a point of a mandate of this computer, when anything changed or a comment was given. Needs neither a connection
 * nor a subscription nor the secret key.
 * @returns exit code 0; 3 when some files lack
 * @throws AgentError `module-open`, and as `makePoint`
 */
export async function point(context: Context, args: PointArgs): Promise<Outcome> {
  checkComment(args.comment);
  using _lock = await lockAfterWatch(context);
  const mandate = getMandate(loadMandates(context.home), args.name);
  await requireClosed(mandate, warner(context));
  const points = await openPointsHere(context);
  try {
    return outcome(context, mandate, points, await make(context, mandate, points, args.comment));
  } finally {
    points.close();
  }
}

async function make(
  context: Context,
  mandate: Mandate,
  points: Points,
  comment: string | undefined,
): Promise<MadePoint> {
  const { output, texts, signal } = context;
  const progress = new Progress(output, texts, 'point', visible(mandate.name));
  const { makePoint } = await import('../points/make.ts');
  let done = false;
  try {
    const made = await makePoint(points, mandate, {
      reason: 'manual',
      comment,
      force: comment !== undefined,
      signal,
      onProgress: (now) => progress.update(standingOf(now)),
    });
    done = !made.unchanged;
    return made;
  } finally {
    progress.finish(done);
  }
}

function outcome(context: Context, mandate: Mandate, points: Points, made: MadePoint): Outcome {
  const { texts } = context;
  const { unchanged, newBytes, storedBytes, durationMs, problems } = made;
  const info = points.list(mandate.mandateId).find(({ id }) => id === made.id);
  return {
    json: {
      points:
        info === undefined ? [] : [{ ...pointJson(info), unchanged, newBytes, storedBytes, durationMs, problems }],
    },
    lines: [...madeLines(context, mandate, made, info?.createdAt ?? 0), ...problemLines(texts, problems)],
    exitCode: problems.length > 0 ? EXIT_PARTIAL : 0,
  };
}

function madeLines({ texts }: Context, mandate: Mandate, made: MadePoint, createdAt: number): string[] {
  const { language } = texts;
  const name = visible(mandate.name);
  if (made.unchanged) return [`✓ ${texts('points.unchanged', { name, date: momentText(createdAt) })}`];
  const files = counted(texts, 'files', made.files);
  const id = made.id.slice(0, 8);
  const [stored, duration] = [sizeText(made.storedBytes, language), durationText(made.durationMs, language)];
  return [
    `✓ ${texts('points.made', { name, files, bytes: sizeText(made.bytes, language) })}`,
    texts('points.stored', { stored, duration, id }),
  ];
}
