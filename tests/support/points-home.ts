import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkPoints, homeAt, openPoints, type PointInfo } from '@cresus-safe/agent';

/** What the points of a home hold, as a process that opens them finds it. */
export interface FoundPoints {
  /** Newest first. */
  readonly points: readonly PointInfo[];
  readonly warnings: readonly string[];
  /** Packs that no point names, or that lie there under another name. */
  readonly spare: readonly string[];
}

/**
 * Opens the points of a home as the next command would and reads everything they hold.
 * @throws when anything that a listed point names is missing or damaged
 */
export async function readPoints(home: string, now: number): Promise<FoundPoints> {
  const warnings: string[] = [];
  const warn = ({ code }: { code: string }): void => void warnings.push(code);
  const points = await openPoints({ home: homeAt(home), now: () => now, deviceName: '', agentVersion: '', warn });
  try {
    const { problems } = await checkPoints({ points });
    if (problems.length > 0) throw new Error(`points are damaged: ${JSON.stringify(problems)}`);
    const list = points.list();
    const records = await Promise.all(list.map(({ id }) => points.vault.record(id)));
    const named = new Set(records.flatMap(({ packs }) => packs.map(({ packId }): string => packId)));
    const spare = readdirSync(join(home, 'points/store/packs')).filter((name) => !named.has(name));
    return { points: list, warnings, spare };
  } finally {
    points.close();
  }
}

/** Names below the points of a home that no writer leaves when it ends by itself. */
export function leftovers(home: string): string[] {
  const folder = join(home, 'points');
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
  return names.filter((name) => /\.tmp$|\.renewed$|\.damaged/.test(name));
}
