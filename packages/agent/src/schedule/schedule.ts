import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { readJson, removeDurable, writeJson } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { shape } from '../local/shape.ts';
import { type Hours, isInside, type MinuteOfDay } from './hours.ts';

/** The wall clock that schedules and every displayed time go by. */
export const ZONE = 'Europe/Zurich';

/** Slower than this, several packs at a time would look stalled to the server (it wants 1 KiB/s of each). */
export const LEAST_LIMIT = 16_000;

/** How fast a scheduled run may send. */
export interface UploadLimit {
  readonly bytesPerSecond: number;
  /** Only inside these hours; undefined: always. */
  readonly hours: Hours | undefined;
}

/** When this computer sends by itself, and what. */
export interface Schedule {
  readonly version: 1;
  /** Ids; null: every mandate that is on this computer when the run comes. */
  readonly mandates: readonly string[] | null;
  readonly kind: 'daily' | 'weekdays' | 'cron';
  /** Five cron fields. */
  readonly pattern: string;
  /** What was asked for; undefined with a pattern of one's own. */
  readonly at: MinuteOfDay | undefined;
  /** Minutes over which the runs of all computers are spread. */
  readonly window: number;
  /** Minutes after the pattern's moment at which this computer runs: drawn once, inside the window. */
  readonly offset: number;
  readonly zone: string;
  readonly limit: UploadLimit | undefined;
  /** Moments before this one were never promised. */
  readonly setAt: number;
}

const KINDS: readonly string[] = ['daily', 'weekdays', 'cron'] satisfies Schedule['kind'][];

/** Where the schedule lies in the home. */
export function schedulePath(home: Home): string {
  return join(home.dir, 'schedule.json');
}

/** The schedule, or undefined when there is none. @throws AgentError `usage` when its file is damaged: it is never guessed */
export function loadSchedule(home: Home): Schedule | undefined {
  const path = schedulePath(home);
  const read = readJson(path, checkSchedule);
  if (read.found) return read.value;
  if (read.damaged === undefined) return undefined;
  throw new AgentError('usage', `schedule.json is damaged: ${read.damaged}`, {
    key: 'error.schedule-damaged',
    hint: 'hint.schedule-damaged',
    params: { path, reason: read.damaged },
  });
}

/** Keeps the schedule durably. */
export function saveSchedule(home: Home, schedule: Schedule): void {
  const { limit, ...rest } = schedule;
  const { hours } = limit ?? {};
  writeJson(schedulePath(home), { ...rest, limit: limit ? { ...limit, hours: hours ?? null } : null });
}

/** Ends the schedule. */
export function removeSchedule(home: Home): void {
  removeDurable(schedulePath(home));
}

/** How many bytes a second may go out at `now`; undefined: as many as the line takes. */
export function limitAt({ limit, zone }: Pick<Schedule, 'limit' | 'zone'>, now: number): number | undefined {
  if (!limit || (limit.hours && !isInside(limit.hours, now, zone))) return undefined;
  return limit.bytesPerSecond;
}

function checkSchedule(value: unknown): Schedule {
  const fields = shape(value);
  if (fields.integer('version') !== 1) throw new TypeError('version is not 1');
  const kind = fields.text('kind');
  if (!KINDS.includes(kind)) throw new TypeError(`kind is ${kind}`);
  return {
    version: 1,
    mandates: fields.optionalList('mandates', asText) ?? null,
    kind: kind as Schedule['kind'],
    pattern: fields.text('pattern'),
    at: optionalMinute(fields.optionalInteger('at')),
    window: minute(fields.integer('window')),
    offset: minute(fields.integer('offset')),
    zone: fields.text('zone'),
    limit: fields.optional('limit', checkLimit),
    setAt: fields.integer('setAt'),
  };
}

function checkLimit(value: unknown): UploadLimit {
  const fields = shape(value, 'limit');
  const hours = fields.optionalObject('hours');
  const bytesPerSecond = fields.integer('bytesPerSecond');
  if (bytesPerSecond < LEAST_LIMIT) throw new TypeError('bytesPerSecond is too small');
  return {
    bytesPerSecond,
    hours: hours && { from: minute(hours.integer('from')), to: minute(hours.integer('to')) },
  };
}

function asText(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('mandates is not a list of texts');
  return value;
}

function minute(value: number): MinuteOfDay {
  if (value < 0 || value >= 24 * 60) throw new TypeError(`${value} is no minute of a day`);
  return value;
}

function optionalMinute(value: number | undefined): MinuteOfDay | undefined {
  return value === undefined ? undefined : minute(value);
}
