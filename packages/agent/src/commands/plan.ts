import { DEFAULT_PLAN, encodePlan, isShorterPlan, type Plan, type PlanSnapshot } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import type { Outcome } from '../render/output.ts';
import { counted, momentText, table, visible } from '../render/text.ts';
import { dayOf, isoDay, planEnds } from '../vault/plan-days.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import { withAnchor } from './anchoring.ts';
import { requireYes } from './confirm.ts';
import type { Context } from './context.ts';
import { Elevation } from './elevation.ts';
import { lockHome, lockIfFree } from './home-lock.ts';
import { openSafe } from './open.ts';
import { dayText } from './snapshot-json.ts';

/** Days, as typed; what is not given stays as it is. */
export interface PlanArgs {
  readonly allDays: string | undefined;
  readonly weekly: string | undefined;
  readonly monthly: string | undefined;
  readonly elevation: string | undefined;
}

const MOST_DAYS = 36_500;
const LISTED = 20;

/** A snapshot with the day number from which the plan lets it go. */
interface Going {
  readonly snapshot: SnapshotInfo;
  readonly day: number;
}

/** Shows the plan in force, and what it will let go and when. */
export async function plan(context: Context): Promise<Outcome> {
  using lock = await lockIfFree(context);
  const safe = await openSafe(context, lock === undefined ? 'look' : 'read');
  try {
    return shown(context, safe.vault, []);
  } finally {
    safe.close();
  }
}

/**
 * Changes the plan. Keeping less than was promised needs an elevation, and says first what it would let go.
 * @throws AgentError `usage`, `acceptance-missing`, `elevation-required`, `code-refused`
 */
export async function planSet(context: Context, args: PlanArgs): Promise<Outcome> {
  const { texts, output } = context;
  const change = changeOf(args);
  using _lock = await lockHome(context);
  const safe = await openSafe(context, 'write');
  try {
    const { vault, remote } = safe;
    await withAnchor(context, vault);
    const before = vault.history.state.plan;
    const next = { ...before, ...change };
    if (isSame(before, next)) return shown(context, vault, [texts('plan.same')]);
    const today = dayOf(context.now());
    const gone = goings(vault, next).filter(({ day }) => day <= today);
    if (gone.length > 0) {
      output.say(texts('plan.would-go', { snapshots: counted(texts, 'snapshots', gone.length) }));
      for (const line of rows(gone)) output.say(line);
    }
    if (isShorterPlan(next, before)) await requireYes(context, texts('plan.ask-shorter'));
    const elevation = new Elevation(context, remote, isShorterPlan(next, before) ? args.elevation : undefined);
    await elevation.run(() => vault.append('plan', { attachment: encodePlan(next) }));
    return shown(context, vault, [`✓ ${texts('plan.done')}`]);
  } finally {
    safe.close();
  }
}

function changeOf({ allDays, weekly, monthly }: PlanArgs): Partial<Plan> {
  if (allDays === undefined && weekly === undefined && monthly === undefined) throw refused();
  return {
    ...(allDays !== undefined && { allDays: daysOf(allDays) }),
    ...(weekly !== undefined && { weeklyDays: daysOf(weekly) }),
    ...(monthly !== undefined && { monthlyDays: daysOf(monthly) }),
  };
}

function daysOf(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > MOST_DAYS) throw refused();
  return Number(text);
}

function refused(): AgentError {
  return new AgentError('usage', 'the plan is not a number of days', {
    key: 'error.plan-days',
    params: { most: MOST_DAYS },
  });
}

function isSame(a: Plan, b: Plan): boolean {
  return a.allDays === b.allDays && a.weeklyDays === b.weeklyDays && a.monthlyDays === b.monthlyDays;
}

/** The snapshots that live, with the day on which a plan lets each go if nothing else is sent; soonest first. */
function goings(vault: Vault, plan: Plan): Going[] {
  const live = vault.snapshots().filter((snapshot) => vault.fate(snapshot).state === 'live');
  const ends = planEnds(plan, live.map(asPlanned));
  return live
    .map((snapshot) => ({ snapshot, day: ends.get(snapshot.id) ?? Number.POSITIVE_INFINITY }))
    .filter(({ day }) => Number.isFinite(day))
    .toSorted((a, b) => a.day - b.day || a.snapshot.seq - b.snapshot.seq);
}

function asPlanned({ id, mandateRef, seq, receivedAt, holdUntil }: SnapshotInfo): PlanSnapshot {
  return { id, mandateRef, seq, receivedAt, holdUntil };
}

function shown({ texts }: Context, vault: Vault, first: readonly string[]): Outcome {
  const { plan: inForce } = vault.history.state;
  const { allDays, weeklyDays, monthlyDays } = inForce;
  const going = goings(vault, inForce);
  const isDefault = isSame(inForce, DEFAULT_PLAN);
  return {
    json: {
      plan: { allDays, weeklyDays, monthlyDays },
      isDefault,
      defaultPlan: DEFAULT_PLAN,
      goes: going.map(({ snapshot: { id, seq, mandateName, receivedAt }, day }) => {
        return { mandate: mandateName, id, seq, receivedAt, on: isoDay(day) };
      }),
    },
    lines: [
      ...first,
      texts(isDefault ? 'plan.in-force-default' : 'plan.in-force'),
      `  ${texts('plan.all', { days: allDays })}`,
      `  ${texts('plan.weekly', { days: weeklyDays })}`,
      `  ${texts('plan.monthly', { days: monthlyDays })}`,
      `  ${texts('plan.always')}`,
      ...(isDefault ? [] : [texts('plan.default', { ...DEFAULT_PLAN })]),
      ...(going.length === 0 ? [texts('plan.nothing-goes')] : [texts('plan.goes'), ...rows(going)]),
      ...(going.length > LISTED ? [texts('plan.more', { count: going.length - LISTED })] : []),
    ],
  };
}

function rows(going: readonly Going[]): string[] {
  return table(
    going
      .slice(0, LISTED)
      .map(({ snapshot: { id, mandateName, receivedAt }, day }) => [
        `  ${dayText(day)}`,
        id.slice(0, 8),
        visible(mandateName),
        momentText(receivedAt),
      ]),
  );
}
