import type { BlobStore } from '../blobs/store.ts';
import type { DbRun } from '../db/unit-of-work.ts';
import { ServerError } from '../errors.ts';
import type { Metrics } from './metrics.ts';

const OPERATIONS = new Set<string | symbol>(['put', 'get', 'stat', 'delete', 'grant', 'room']);

/** The same store, its operations timed and its failures counted. What else a store has passes through. */
export function measureStore<S extends BlobStore>(store: S, metrics: Metrics): S {
  const timed = async (operation: string, run: () => Promise<unknown>) => {
    const end = metrics.storeSeconds.startTimer({ operation });
    try {
      return await run();
    } catch (error) {
      if (isOwnFault(error)) metrics.storeErrors.inc({ operation });
      throw error;
    } finally {
      end();
    }
  };
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      const run = (...args: unknown[]): unknown => Reflect.apply(member, target, args);
      if (!OPERATIONS.has(name)) return run;
      return (...args: unknown[]) => timed(String(name), async () => await run(...args));
    },
  });
}

/** What the database calls at the end of each operation. */
export function noteDbRun(metrics: Metrics, { kind, queued, took, error }: DbRun): void {
  if (kind === 'write') metrics.queueSeconds.observe(queued);
  metrics.unitSeconds.observe({ kind }, took);
  if (error !== undefined && isOwnFault(error)) metrics.dbErrors.inc({ kind });
}

/** A refusal (404, 409, 413…) is an answer to the client; everything else is ours to look at. */
function isOwnFault(error: unknown): boolean {
  return !(error instanceof ServerError) || error.status >= 500;
}
