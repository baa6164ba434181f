import { join } from 'node:path';
import { loadMandates } from '../mandate/mandates.ts';
import { momentText, sizeText, visible } from '../render/text.ts';
import { nextSlots } from '../schedule/due.ts';
import { timeText } from '../schedule/hours.ts';
import { reportsFolder } from '../schedule/reports.ts';
import type { Runs } from '../schedule/runs.ts';
import type { Schedule } from '../schedule/schedule.ts';
import type { Context } from './context.ts';

const SHOWN = 5;

/** The schedule as scripts see it. */
export function scheduleJson(context: Context, schedule: Schedule, runs: Runs): Record<string, unknown> {
  const { kind, pattern, at, window, offset, zone, limit, setAt } = schedule;
  const { last, retry } = runs;
  return {
    schedule: {
      ...{ kind, pattern, window, offset, zone, setAt },
      at: at === undefined ? null : timeText(at),
      runsAt: at === undefined ? null : timeText(at + offset),
      mandates: namesOf(context, schedule) ?? null,
      limit: limit
        ? {
            kbPerSecond: limit.bytesPerSecond / 1000,
            hours: limit.hours ? `${timeText(limit.hours.from)}-${timeText(limit.hours.to)}` : null,
          }
        : null,
    },
    nextRuns: nextSlots(schedule, context.now(), SHOWN),
    last: last ? { ...last, report: join(reportsFolder(context.home), `${last.report}.json`) } : null,
    retry: retry ? { slot: retry.slot, attempts: retry.attempts, notBefore: retry.notBefore } : null,
  };
}

/** Names of the scheduled mandates; undefined when all are meant. One that is gone from this computer keeps its id. */
function namesOf({ home }: Context, { mandates }: Schedule): string[] | undefined {
  const known = new Map(loadMandates(home).map(({ mandateId, name }) => [mandateId, name]));
  return mandates?.map((id) => known.get(id) ?? id);
}

/** When and what, for people. */
export function scheduleLines(context: Context, schedule: Schedule): string[] {
  const { texts } = context;
  const { kind, pattern, at = 0, window, offset } = schedule;
  const names = namesOf(context, schedule);
  const when =
    kind === 'cron'
      ? texts('schedule.when-cron', { pattern: visible(pattern) })
      : texts(`schedule.when-${kind}`, { time: timeText(at + offset) });
  return [
    `${names ? names.map(visible).join(', ') : texts('schedule.all-mandates')} · ${when}`,
    ...(window > 1 && kind !== 'cron'
      ? [texts('schedule.drawn', { from: timeText(at), to: timeText(at + window) })]
      : []),
  ];
}

/** The limit, for people. */
export function limitText({ texts }: Context, { limit }: Schedule): string[] {
  if (!limit) return [];
  const rate = sizeText(limit.bytesPerSecond, texts.language);
  if (!limit.hours) return [texts('schedule.limit-always', { rate })];
  return [texts('schedule.limit-hours', { rate, from: timeText(limit.hours.from), to: timeText(limit.hours.to) })];
}

/** How the last run went, and what is still to be done. */
export function retryLines({ home, texts }: Context, { last, retry }: Runs): string[] {
  const lines = last
    ? [
        texts(last.exitCode === 0 ? 'schedule.last-good' : 'schedule.last-bad', {
          date: momentText(last.finishedAt),
          code: last.exitCode,
          path: visible(join(reportsFolder(home), `${last.report}.txt`)),
        }),
      ]
    : [texts('schedule.last-none')];
  return retry ? [...lines, texts('schedule.retry', { date: momentText(retry.notBefore) })] : lines;
}
