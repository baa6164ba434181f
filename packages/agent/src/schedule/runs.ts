import { join } from 'node:path';
import { readJson, setAside, writeJson } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { shape } from '../local/shape.ts';

/** A scheduled run that ended, as `schedule show` tells it. */
export interface LastRun {
  /** The moment of the schedule that it was for. */
  readonly slot: number;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  /** File name of its report, without extension. */
  readonly report: string;
}

/** What of a moment is still to be done, after a run that failed or was killed. */
export interface Retry {
  readonly slot: number;
  /** How many runs there were for this moment. */
  readonly attempts: number;
  readonly notedAt: number;
  readonly notBefore: number;
  /** Ids; null: all that the schedule names. */
  readonly mandates: readonly string[] | null;
}

/** What `run-scheduled` remembers from run to run. */
export interface Runs {
  /** The newest moment that a run was made for. */
  readonly slot: number | undefined;
  readonly last: LastRun | undefined;
  readonly retry: Retry | undefined;
}

const NONE: Runs = { slot: undefined, last: undefined, retry: undefined };

function runsPath(home: Home): string {
  return join(home.dir, 'schedule-runs.json');
}

/** What is remembered; a damaged file is set aside: then the newest moment is due again, which repeats but loses nothing. */
export function loadRuns(home: Home): Runs {
  const read = readJson(runsPath(home), checkRuns);
  if (read.found) return read.value;
  if (read.damaged !== undefined) setAside(runsPath(home));
  return NONE;
}

/** Keeps what is to be remembered, durably. */
export function saveRuns(home: Home, runs: Runs): void {
  writeJson(runsPath(home), { version: 1, ...runs });
}

function checkRuns(value: unknown): Runs {
  const fields = shape(value);
  if (fields.integer('version') !== 1) throw new TypeError('version is not 1');
  return {
    slot: fields.optionalInteger('slot'),
    last: fields.optional('last', (item) => {
      const last = shape(item, 'last');
      return {
        slot: last.integer('slot'),
        startedAt: last.integer('startedAt'),
        finishedAt: last.integer('finishedAt'),
        exitCode: last.integer('exitCode'),
        report: last.text('report'),
      };
    }),
    retry: fields.optional('retry', (item) => {
      const retry = shape(item, 'retry');
      return {
        slot: retry.integer('slot'),
        attempts: retry.integer('attempts'),
        notedAt: retry.integer('notedAt'),
        notBefore: retry.integer('notBefore'),
        mandates: retry.optionalList('mandates', (id) => String(id)) ?? null,
      };
    }),
  };
}
