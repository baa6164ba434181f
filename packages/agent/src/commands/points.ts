import { AgentError } from '../errors.ts';
import { type KeepReason, type PlannedPoint, planPoints } from '../points/plan.ts';
import { changeSettings, loadSettings, type PointsSettings } from '../points/settings.ts';
import type { PointInfo, Points } from '../points/store.ts';
import type { Outcome } from '../render/output.ts';
import { brief, counted, momentText, sizeText, table, visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { mandateIdOf, openPointsIfAny } from './open-points.ts';

export interface PointsArgs {
  readonly name: string | undefined;
  readonly plan: boolean;
  /** Days. */
  readonly keepAll: string | undefined;
  readonly keepDaily: string | undefined;
  readonly keepWeekly: string | undefined;
  /** A size, `20GB`. */
  readonly maxSize: string | undefined;
}

/** Lists points, newest first; `--plan` says of each why it is kept or that it will go. Changes the plan where asked. */
export async function points(context: Context, args: PointsArgs): Promise<Outcome> {
  using _lock = await lockHome(context);
  const change = changeOf(args);
  const settings = Object.keys(change).length > 0 ? changed(context, change) : loadSettings(context.home);
  const store = await openPointsIfAny(context);
  try {
    const mandateId = args.name === undefined ? undefined : mandateIdOf(context, store, args.name);
    const planned = planPoints(store?.list(mandateId) ?? [], settings, context.now());
    const shows = args.plan || Object.keys(change).length > 0;
    return shows ? planOutcome(context, store, settings, planned) : listOutcome(context, planned);
  } finally {
    store?.close();
  }
}

/** A point as scripts see it. */
export function pointJson(point: PointInfo): Record<string, unknown> {
  const { id, createdAt, files, bytes, reason, comment, mandateName, incomplete } = point;
  return { id, createdAt, files, bytes, reason, comment, mandate: mandateName, incomplete };
}

function changeOf({ keepAll, keepDaily, keepWeekly, maxSize }: PointsArgs): Partial<PointsSettings> {
  return {
    ...(keepAll !== undefined && { allDays: days(keepAll) }),
    ...(keepDaily !== undefined && { dailyDays: days(keepDaily) }),
    ...(keepWeekly !== undefined && { weeklyDays: days(keepWeekly) }),
    ...(maxSize !== undefined && { maxBytes: size(maxSize) }),
  };
}

function days(text: string): number {
  return /^\d{1,5}$/.test(text) ? Number(text) : refuse();
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

function size(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,15}(?:\.\d+)?)\s*([kmgt]?)[bo]?$/i.exec(text) ?? [];
  return digits === '' ? refuse() : Math.round(Number(digits) * (UNITS[unit.toUpperCase()] as number));
}

function changed({ home }: Context, change: Partial<PointsSettings>): PointsSettings {
  try {
    return changeSettings(home, change);
  } catch (error) {
    if (error instanceof TypeError) return refuse();
    throw error;
  }
}

function refuse(): never {
  throw new AgentError('usage', 'this is no setting of the points', { key: 'error.points-settings' });
}

function listOutcome(context: Context, planned: readonly PlannedPoint[]): Outcome {
  const rows = planned.map(({ point }) => cells(context, point));
  return {
    json: { points: planned.map(({ point }) => pointJson(point)) },
    lines: rows.length === 0 ? [context.texts('points.none')] : table(rows, [3, 4]),
  };
}

function planOutcome(
  context: Context,
  store: Points | undefined,
  settings: PointsSettings,
  planned: readonly PlannedPoint[],
): Outcome {
  const { texts } = context;
  const used = store?.store.packs.bytes ?? 0;
  const rows = planned.map(({ point, keptAs }) => [...cells(context, point), keptText(texts, keptAs)]);
  return {
    json: {
      points: planned.map(({ point, keptAs }) => ({ ...pointJson(point), keptAs: keptAs ?? null })),
      plan: settings,
      usedBytes: used,
    },
    lines: [
      texts('points.rule', { all: settings.allDays, daily: settings.dailyDays, weekly: settings.weeklyDays }),
      texts('points.used', {
        used: sizeText(used, texts.language),
        limit: sizeText(settings.maxBytes, texts.language),
      }),
      ...(rows.length === 0 ? [texts('points.none')] : table(rows, [3, 4])),
    ],
  };
}

function keptText(texts: Context['texts'], keptAs: KeepReason | undefined): string {
  return keptAs === undefined ? texts('points.goes') : texts(`points.kept-${keptAs}`);
}

function cells({ texts }: Context, point: PointInfo): string[] {
  const { id, createdAt, files, bytes, reason, comment, mandateName, incomplete } = point;
  const marks = [
    texts(`points.${reason}`),
    incomplete ? texts('points.partial') : '',
    comment ? texts('snapshots.comment', { comment: brief(comment, 60) }) : '',
  ];
  return [
    id.slice(0, 8),
    visible(mandateName),
    momentText(createdAt),
    counted(texts, 'files', files),
    sizeText(bytes, texts.language),
    marks.filter((mark) => mark !== '').join(', '),
  ];
}
