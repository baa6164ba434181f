import { AgentError } from '../errors.ts';
import type { Outcome } from '../render/output.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import type { RestoreArgs } from './restore-args.ts';
import { restoreBackup } from './restore-backup.ts';
import { askRest, mayAsk } from './restore-questions.ts';
import { openBackup } from './restore-source.ts';
import { RestoreStores } from './restore-stores.ts';
import { chooseTarget } from './restore-target.ts';

/**
 * Restores a snapshot, a point or a copy over the current mandate, as another mandate, or into a new folder; with `--undo` the
 * state before the last restore. On a terminal it asks for what the flags do not say. What would be replaced needs its
 * acceptance, and gets a safety point first.
 * @throws AgentError `usage`, `not-found`, `module-open`, `acceptance-missing`, and what the restore throws
 */
export async function restore(context: Context, args: RestoreArgs): Promise<Outcome> {
  if (args.undo) return (await import('./restore-undo.ts')).undoRestore(context, args);
  const asks = mayAsk(context, args);
  if (!asks) requireOnePlace(args);
  using _lock = await lockHome(context);
  using stores = new RestoreStores(context);
  const whole = asks ? await askRest(context, stores, args) : args;
  await using backup = await openBackup(context, stores, whole);
  return await restoreBackup(context, stores, backup, chooseTarget(context, backup.source, whole), whole);
}

function requireOnePlace({ intoCurrent, as, to }: RestoreArgs): void {
  const places = [intoCurrent, as !== undefined, to !== undefined].filter(Boolean).length;
  if (places === 1) return;
  throw new AgentError('usage', 'exactly one place to restore to is needed', {
    key: places === 0 ? 'error.restore-where' : 'error.restore-two',
    hint: places === 0 ? 'hint.restore-where' : 'hint.usage',
  });
}
