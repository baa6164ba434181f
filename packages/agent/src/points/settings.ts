import { join } from 'node:path';
import { ensureFolder, readJson, setAside, writeJson } from '../local/files.ts';
import type { Home } from '../local/home.ts';
import { shape } from '../local/shape.ts';

/** How long points are kept, in days, and how much room they may take. */
export interface PointsPlan {
  /** Every point, today and this many days back. */
  readonly allDays: number;
  /** Then the newest of each day, for so many days. */
  readonly dailyDays: number;
  /** Then the newest of each week, for so many days. */
  readonly weeklyDays: number;
}

export interface PointsSettings extends PointsPlan {
  /** Bytes of all packs of all mandates; a point that would pass it is refused, none is removed for it. */
  readonly maxBytes: number;
}

export const DEFAULT_SETTINGS: PointsSettings = { allDays: 2, dailyDays: 30, weeklyDays: 365, maxBytes: 50e9 };

const LEAST_BYTES = 1e6;

/** `points/settings.json`; the defaults where there is none. A damaged one is set aside: keeping is the safe side. */
export function loadSettings(home: Home): PointsSettings {
  const path = join(home.points, 'settings.json');
  const read = readJson(path, checkSettings);
  if (read.found) return read.value;
  if (read.damaged !== undefined) setAside(path);
  return DEFAULT_SETTINGS;
}

/** Changes some of the settings durably. @throws TypeError for what no plan can be */
export function changeSettings(home: Home, change: Partial<PointsSettings>): PointsSettings {
  const settings = checkSettings({ version: 1, ...loadSettings(home), ...change });
  ensureFolder(home.points);
  writeJson(join(home.points, 'settings.json'), { version: 1, ...settings });
  return settings;
}

function checkSettings(value: unknown): PointsSettings {
  const fields = shape(value);
  if (fields.integer('version') !== 1) throw new TypeError('version is not 1');
  const atLeast = (key: string, least: number): number => {
    const number = fields.integer(key);
    if (number < least) throw new TypeError(`${key} is below ${least}`);
    return number;
  };
  return {
    allDays: atLeast('allDays', 0),
    dailyDays: atLeast('dailyDays', 0),
    weeklyDays: atLeast('weeklyDays', 0),
    maxBytes: atLeast('maxBytes', LEAST_BYTES),
  };
}
