import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Check } from '../doctor/check.ts';
import type { HomeFacts } from '../doctor/home-checks.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { momentText, sizeText, visible } from '../render/text.ts';
import { nextSlot } from '../schedule/due.ts';
import { loadRuns, type Runs } from '../schedule/runs.ts';
import { loadSchedule, type Schedule } from '../schedule/schedule.ts';
import type { Context } from './context.ts';
import { badCheck, okCheck, warnCheck, wrongCheck } from './doctor-texts.ts';

const LISTED = 5;
/** A timer that starts every few minutes is late by less. */
const TIMER_LATE_MS = 60 * 60_000;

/** Versions, the home folder, its lock and the disk. */
export function homeChecks(context: Context, facts: HomeFacts): Check[] {
  const { home, version, texts } = context;
  const versions = okCheck(context, 'versions', 'doctor.versions', {
    agent: version,
    node: process.versions.node,
    system: `${process.platform} ${process.arch}`,
  });
  if (!facts.exists) return [versions, warnCheck(context, 'home', 'doctor.home-none', { path: visible(home.dir) })];
  const { exposed, unwritable, unreadable } = facts;
  const params = (paths: readonly string[]): { paths: string } => ({
    paths: paths.slice(0, LISTED).map(visible).join(', ') + (paths.length > LISTED ? ', …' : ''),
  });
  const space = { path: visible(home.dir), free: sizeText(facts.freeBytes, texts.language) };
  return [
    versions,
    unwritable
      ? badCheck(context, 'home', unwritable)
      : okCheck(context, 'home', 'doctor.home', { path: visible(home.dir) }),
    ...(exposed.length > 0
      ? [wrongCheck(context, 'permissions', 'permission', 'doctor.exposed', params(exposed))]
      : []),
    ...(unreadable.length > 0
      ? [wrongCheck(context, 'readable', 'permission', 'doctor.unreadable', params(unreadable))]
      : []),
    facts.space === 'ok'
      ? okCheck(context, 'space', 'doctor.space', space)
      : facts.space === 'little'
        ? warnCheck(context, 'space', 'doctor.space-little', space)
        : wrongCheck(context, 'space', 'disk-full', 'doctor.space-none', space),
    ...lockChecks(context, facts),
  ];
}

function lockChecks(context: Context, { lock }: HomeFacts): Check[] {
  if (!lock) return [];
  const { pid, alive } = lock;
  return [warnCheck(context, 'lock', alive ? 'doctor.lock-alive' : 'doctor.lock-stale', { pid })];
}

/** Whether each mandate's folder and module files are where they were. */
export function mandateChecks(context: Context, mandates: readonly Mandate[]): Check[] {
  if (mandates.length === 0) return [warnCheck(context, 'mandates', 'doctor.mandates-none')];
  const checks = mandates.flatMap((mandate) => mandateCheck(context, mandate));
  return checks.length > 0 ? checks : [okCheck(context, 'mandates', 'doctor.mandates', { count: mandates.length })];
}

function mandateCheck(context: Context, { name, path, modules }: Mandate): Check[] {
  const params = { name: visible(name), path: visible(path) };
  if (!existsSync(path)) return [wrongCheck(context, 'mandates', 'path-missing', 'doctor.mandate-missing', params)];
  if (!canEnter(path)) return [wrongCheck(context, 'mandates', 'permission', 'doctor.mandate-closed', params)];
  const gone = modules.map(({ file }) => file).filter((file) => !existsSync(join(path, file)));
  if (gone.length === 0) return [];
  return [warnCheck(context, 'mandates', 'doctor.module-gone', { ...params, files: gone.map(visible).join(', ') })];
}

function canEnter(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.X_OK);
    return true;
  } catch {
    return false; // the check says so
  }
}

/** Whether a schedule is set, is started by the system, and goes well. */
export function scheduleChecks(context: Context): Check[] {
  const { home, now } = context;
  const schedule = loadSchedule(home);
  if (!schedule) return [warnCheck(context, 'schedule', 'doctor.schedule-none')];
  const runs = loadRuns(home);
  const { last } = runs;
  if (isLate(schedule, runs, now())) return [warnCheck(context, 'schedule', 'doctor.schedule-late')];
  if (last && last.exitCode !== 0)
    return [
      warnCheck(context, 'schedule', 'doctor.schedule-failed', {
        date: momentText(last.finishedAt),
        code: last.exitCode,
        report: last.report,
      }),
    ];
  const next = nextSlot(schedule, now());
  return [okCheck(context, 'schedule', 'doctor.schedule', { date: next === undefined ? '–' : momentText(next) })];
}

/** A moment passed a while ago and nothing ran for it: nobody starts `run-scheduled`. */
function isLate(schedule: Schedule, { slot }: Runs, now: number): boolean {
  const since = Math.max(schedule.setAt, slot ?? 0);
  const missed = nextSlot(schedule, since);
  return missed !== undefined && missed < now - TIMER_LATE_MS;
}
