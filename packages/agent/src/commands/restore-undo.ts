import { lstatSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import { loadState, type RestoreLog } from '../local/state.ts';
import { getMandate, loadMandates, type Mandate } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import type { RestoreArgs } from './restore-args.ts';
import { restoreBackup } from './restore-backup.ts';
import { openPoint } from './restore-source.ts';
import { RestoreStores } from './restore-stores.ts';
import { replacing, type Target } from './restore-target.ts';

/**
 * Brings back what the last restore (of a mandate) replaced, from its safety point: a restore like any other, with a safety
 * point of its own, so that undoing can be undone. It needs no acceptance while the mandate is still what that restore put
 * there: nothing is lost then that is not in a backup. A mandate that a restore created replaced nothing, and stays.
 * @throws AgentError `usage`, `not-found`, `acceptance-missing` when somebody worked in it since
 */
export async function undoRestore(context: Context, args: RestoreArgs): Promise<Outcome> {
  requireAlone(args);
  using _lock = await lockHome(context);
  using stores = new RestoreStores(context);
  const { log, mandate } = lastRestore(context, args.name);
  if (log.safetyPoint === null) throw nothingReplaced(mandate);
  await using backup = await openPoint(context, stores, mandate.name, log.safetyPoint);
  const target = await targetOf(mandate, log);
  return await restoreBackup(context, stores, backup, target, args);
}

function requireAlone({ snapshot, copy, point, intoCurrent, as, to, paths }: RestoreArgs): void {
  const isAlone =
    [snapshot, copy, point, as, to].every((one) => one === undefined) && !intoCurrent && paths.length === 0;
  if (!isAlone) throw new AgentError('usage', '--undo says all', { key: 'error.undo-alone', hint: 'hint.usage' });
}

function lastRestore({ home, now }: Context, name: string | undefined): { log: RestoreLog; mandate: Mandate } {
  const mandates = loadMandates(home);
  const wanted = name === undefined ? undefined : getMandate(mandates, name);
  const { restores = [] } = loadState(home, now());
  for (const log of restores.toReversed()) {
    const mandate = mandates.find(({ mandateId }) => mandateId === log.mandateId);
    if (mandate && (wanted === undefined || mandate === wanted)) return { log, mandate };
  }
  throw new AgentError('not-found', 'there is no restore to undo', { key: 'error.nothing-to-undo', hint: 'hint.none' });
}

function nothingReplaced({ name }: Mandate): AgentError {
  return new AgentError('usage', `the last restore created ${name} and replaced nothing`, {
    key: 'error.undo-created',
    hint: 'hint.undo-created',
    params: { name },
    details: { mandate: name },
  });
}

async function targetOf(mandate: Mandate, { stamp }: RestoreLog): Promise<Target> {
  const target = replacing(mandate, 'current');
  const isFolder = lstatSync(mandate.path, { throwIfNoEntry: false })?.isDirectory() === true;
  const { treeStamp } = await import('../restore/compare.ts');
  const isUntouched = stamp !== undefined && isFolder && treeStamp(mandate.path) === stamp;
  return isUntouched || !target.replaces ? { ...target, acceptance: undefined } : target;
}
