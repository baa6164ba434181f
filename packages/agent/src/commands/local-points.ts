import { type AgentError, toAgentError } from '../errors.ts';
import type { Mandate } from '../mandate/mandates.ts';
import { requireClosed } from '../open-modules/open-modules.ts';
import type { Context } from './context.ts';
import { warner } from './open.ts';
import { openPointsHere } from './open-points.ts';

/** The automatic point of one mandate, made because the server could not be reached; or why there is none. */
export interface LocalPoint {
  readonly mandate: string;
  readonly id?: string;
  /** Nothing changed since the newest point, which is `id`. */
  readonly unchanged?: boolean;
  readonly error?: AgentError;
}

/**
 * Makes a point of each of these mandates that changed: no copy outside the building, but the day's work is kept. What
 * fails is told and stops nothing, least of all the report of the run that failed before.
 */
export async function makeLocalPoints(context: Context, mandates: readonly Mandate[]): Promise<LocalPoint[]> {
  const { makePoint } = await import('../points/make.ts');
  const points = await openPointsHere(context);
  const made: LocalPoint[] = [];
  try {
    for (const mandate of mandates) {
      try {
        await requireClosed(mandate, warner(context));
        const { id, unchanged } = await makePoint(points, mandate, { reason: 'schedule', signal: context.signal });
        made.push({ mandate: mandate.name, id, unchanged });
      } catch (error) {
        const typed = toAgentError(error);
        if (typed.kind === 'interrupted') throw typed;
        made.push({ mandate: mandate.name, error: typed });
      }
    }
  } finally {
    points.close();
  }
  return made;
}
