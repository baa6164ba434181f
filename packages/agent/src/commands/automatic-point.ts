import type { Mandate } from '../mandate/mandates.ts';
import { requireClosed } from '../open-modules/open-modules.ts';
import type { MadePoint } from '../points/make.ts';
import type { PointReason } from '../points/reason.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { warner } from './open.ts';
import { openPointsHere } from './open-points.ts';

/**
 * Makes a point of a mandate if anything changed, holding the lock of the home only meanwhile.
 * @throws AgentError `another-run`, `module-open`, `mandate-unstable`, `path-missing`, the disk kinds, `interrupted`
 */
export async function automaticPoint(context: Context, mandate: Mandate, reason: PointReason): Promise<MadePoint> {
  using _lock = await lockHome(context);
  await requireClosed(mandate, warner(context));
  const points = await openPointsHere(context);
  try {
    const { makePoint } = await import('../points/make.ts');
    return await makePoint(points, mandate, { reason, signal: context.signal });
  } finally {
    points.close();
  }
}

/** A made point in the outcome of a run. */
export function madePointJson(made: MadePoint): Record<string, unknown> {
  const { id, unchanged, files, bytes, newBytes, storedBytes, durationMs, problems } = made;
  return { id, unchanged, files, bytes, newBytes, storedBytes, durationMs, problems };
}
