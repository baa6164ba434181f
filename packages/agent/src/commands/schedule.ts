import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import { recallRoot } from '../local/keyring.ts';
import { getMandate, loadMandates } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { momentText, visible } from '../render/text.ts';
import { checkPattern, nextSlots } from '../schedule/due.ts';
import { type Hours, type MinuteOfDay, parseHours, parseTime } from '../schedule/hours.ts';
import { parseLimit } from '../schedule/limit.ts';
import { loadRuns } from '../schedule/runs.ts';
import {
  loadSchedule,
  removeSchedule,
  type Schedule,
  saveSchedule,
  schedulePath,
  type UploadLimit,
  ZONE,
} from '../schedule/schedule.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { limitText, retryLines, scheduleJson, scheduleLines } from './schedule-report.ts';

export interface ScheduleArgs {
  readonly names: readonly string[];
  readonly all: boolean;
  readonly daily: boolean;
  readonly weekdays: boolean;
  readonly cron: string | undefined;
  readonly at: string | undefined;
  readonly window: string | undefined;
  readonly limit: string | undefined;
  readonly limitHours: string | undefined;
  readonly install: boolean;
}

/** When nothing else is asked for: the end of an office day, when the programs are closed and the computer still runs. */
const DEFAULT_AT: MinuteOfDay = 17 * 60 + 30;
const DEFAULT_WINDOW = 30;
const LONGEST_WINDOW = 12 * 60;
const SHOWN = 3;

/**
 * Sets when this computer sends by itself. The minute is drawn in the window: else all computers would send at once.
 * @throws AgentError `usage`, `not-found` for a mandate that is not here
 */
export async function scheduleSet(context: Context, args: ScheduleArgs): Promise<Outcome> {
  const { home, now, texts } = context;
  const schedule = scheduleOf(context, args);
  checkPattern(schedule, now());
  using _lock = await lockHome(context);
  saveSchedule(home, schedule);
  const installed = args.install ? await (await import('./schedule-install.ts')).install(context) : undefined;
  const remembered = (await recallRoot(home)) !== undefined;
  const { howToStart } = await import('./schedule-install.ts');
  return {
    json: { ...scheduleJson(context, schedule, loadRuns(home)), remembered, installed: installed ?? [] },
    lines: [
      `✓ ${texts('schedule.done')}`,
      ...scheduleLines(context, schedule),
      ...nextLines(context, schedule),
      ...(remembered ? [] : [`⚠ ${texts('schedule.remember')}`]),
      ...(installed
        ? [texts('schedule.installed', { files: installed.map(visible).join(', ') })]
        : howToStart(context)),
    ],
  };
}

function scheduleOf(context: Context, args: ScheduleArgs): Schedule {
  const kind = kindOf(args);
  const at = kind === 'cron' ? undefined : (timeOf(args.at) ?? DEFAULT_AT);
  const window = windowOf(args.window) ?? (kind === 'cron' ? 0 : DEFAULT_WINDOW);
  return {
    version: 1,
    mandates: mandatesOf(context, args),
    kind,
    pattern:
      at === undefined
        ? (args.cron ?? '').trim()
        : `${at % 60} ${Math.floor(at / 60)} * * ${kind === 'daily' ? '*' : '1-5'}`,
    at,
    window,
    offset: window === 0 ? 0 : randomInt(window),
    zone: ZONE,
    limit: limitOf(args),
    setAt: context.now(),
  };
}

function kindOf({ daily, weekdays, cron, at }: ScheduleArgs): Schedule['kind'] {
  if (cron !== undefined && at !== undefined) throw usage('error.schedule-cron-at');
  if ([daily, weekdays, cron !== undefined].filter(Boolean).length > 1) throw usage('error.schedule-when');
  if (cron !== undefined) return 'cron';
  return weekdays ? 'weekdays' : 'daily';
}

function timeOf(text: string | undefined): MinuteOfDay | undefined {
  if (text === undefined) return undefined;
  const at = parseTime(text);
  if (at === undefined) throw usage('error.schedule-time', { time: text });
  return at;
}

function windowOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const window = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (!(window <= LONGEST_WINDOW)) throw usage('error.schedule-window', { window: text, most: LONGEST_WINDOW });
  return window;
}

function limitOf({ limit, limitHours }: ScheduleArgs): UploadLimit | undefined {
  const hours = hoursOf(limitHours);
  if (limit !== undefined) return { bytesPerSecond: parseLimit(limit), hours };
  if (hours) throw usage('error.schedule-hours-alone');
  return undefined;
}

function hoursOf(text: string | undefined): Hours | undefined {
  if (text === undefined) return undefined;
  const hours = parseHours(text);
  if (hours === undefined) throw usage('error.schedule-hours', { hours: text });
  return hours;
}

function mandatesOf({ home }: Context, { names, all }: ScheduleArgs): string[] | null {
  if (all && names.length > 0) throw usage('error.names-and-all');
  if (names.length === 0) return null;
  const mandates = loadMandates(home);
  return [...new Set(names.map((name) => getMandate(mandates, name).mandateId))];
}

function usage(key: string, params: Record<string, string | number> = {}): AgentError {
  return new AgentError('usage', key, { key, params });
}

/** Shows the schedule, its next moments and how the last run went. */
export async function scheduleShow(context: Context): Promise<Outcome> {
  const { home, texts } = context;
  const schedule = loadSchedule(home);
  if (!schedule) return { json: { schedule: null, nextRuns: [], last: null }, lines: [texts('schedule.none')] };
  const runs = loadRuns(home);
  return {
    json: scheduleJson(context, schedule, runs),
    lines: [...scheduleLines(context, schedule), ...nextLines(context, schedule), ...retryLines(context, runs)],
  };
}

/** Ends the schedule; what the system was told to start then does nothing. */
export async function scheduleOff(context: Context): Promise<Outcome> {
  const { home, texts } = context;
  using _lock = await lockHome(context);
  const had = existsSync(schedulePath(home)); // a damaged one too: this is the way out
  removeSchedule(home);
  const removed = await (await import('./schedule-install.ts')).uninstall(context);
  return {
    json: { schedule: null, removed },
    lines: [texts(had ? 'schedule.off-done' : 'schedule.none')],
  };
}

function nextLines(context: Context, schedule: Schedule): string[] {
  return [...limitText(context, schedule), ...nextText(context, nextSlots(schedule, context.now(), SHOWN))];
}

function nextText({ texts }: Context, slots: readonly number[]): string[] {
  return slots.length === 0
    ? []
    : [texts('schedule.next', { dates: slots.map((slot) => momentText(slot)).join(', ') })];
}
