import { ROUTES } from '@cresus-safe/protocol/http';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import type { Lifecycle } from './guard.ts';
import { publicRoute, type Route } from './route.ts';

const healthResponse = z.looseObject({ status: z.literal('ok') }).meta({ id: 'Health' });
const answers = { 200: { description: 'Fine', json: healthResponse } };
const FINE = { status: 200, json: { status: 'ok' } } as const;

/** `live`: the process runs. `ready`: it can serve, that is database and bucket answer and it is not shutting down. */
export function createHealthRoutes(deps: Deps, lifecycle: Lifecycle): Route[] {
  const live = publicRoute({
    method: 'GET',
    path: ROUTES.live,
    id: 'live',
    summary: 'Whether the process runs',
    answers,
    handle: () => Promise.resolve(FINE),
  });
  const ready = publicRoute({
    method: 'GET',
    path: ROUTES.ready,
    id: 'ready',
    summary: 'Whether the server can serve',
    answers,
    errors: ['draining', 'catching-up', 'busy'],
    handle: async () => {
      if (lifecycle.draining) throw new ServerError('draining', { retryAfter: 5 });
      if (lifecycle.behind) throw new ServerError('catching-up', { retryAfter: 60 });
      await checkStores(deps);
      return FINE;
    },
  });
  return [live, ready];
}

async function checkStores({ db, blobs }: Deps): Promise<void> {
  try {
    await db.read((manager) => manager.query('SELECT 1'));
    await blobs.stat('meta/ready');
  } catch (cause) {
    throw new ServerError('busy', { retryAfter: 5 }, { cause });
  }
}
