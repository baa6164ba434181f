import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { findConfig } from '../local/config.ts';
import { findMandate, loadMandates, nameKey } from '../mandate/mandates.ts';
import type { Points } from '../points/store.ts';
import type { Context } from './context.ts';
import { warner } from './open.ts';

/** Opens the points of this computer, made at the first use. The caller holds the home's lock. @throws AgentError as `openPoints` */
export async function openPointsHere(context: Context): Promise<Points> {
  const { home, now, version } = context;
  const { openPoints } = await import('../points/store.ts');
  const deviceName = findConfig(home)?.deviceName ?? hostname();
  return openPoints({ home, now, deviceName, agentVersion: version, warn: warner(context) });
}

/** The points when any were ever made here. */
export async function openPointsIfAny(context: Context): Promise<Points | undefined> {
  return existsSync(join(context.home.points, 'store')) ? openPointsHere(context) : undefined;
}

/**
 * The mandate that a name means: one of this computer, else one that only points know, by the name in its newest point.
 * @throws AgentError `not-found`
 */
export function mandateIdOf({ home }: Context, points: Points | undefined, name: string): string {
  const here = findMandate(loadMandates(home), name);
  const found = here ?? points?.list().find(({ mandateName }) => nameKey(mandateName) === nameKey(name));
  if (found) return found.mandateId;
  throw new AgentError('not-found', `no mandate is named ${name}`, {
    key: 'error.no-mandate',
    hint: 'hint.no-mandate-yet',
    params: { name, known: '' },
    details: { name },
  });
}
