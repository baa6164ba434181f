import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { sweepTemporary } from '../local/files.ts';
import { prepareHome } from '../local/home.ts';
import { type Lock, takeLock } from '../local/lock.ts';
import { changeState, loadState } from '../local/state.ts';
import { loadMandates, saveMandates } from '../mandate/mandates.ts';
import { detectModules } from '../mandate/modules.ts';
import type { Context } from './context.ts';

/** The folder of the home in which a restore notes what it is about to swap. */
export function intentsFolder({ home }: Context): string {
  return join(home.dir, 'intents');
}

/**
 * Takes the lock of the home, which whoever opens the vault must hold (its history is a log that is appended to), removes the temporary files of killed runs (F-02) and finishes what a killed restore left:
 * a swap half done, or a new mandate that was restored and not yet registered.
 * @throws AgentError `another-run`
 */
export async function lockHome(context: Context): Promise<Lock> {
  prepareHome(context.home);
  const lock = takeLock(context.home.lock);
  try {
    sweepTemporary(context.home.dir);
    const intents = intentsFolder(context);
    if (existsSync(intents)) {
      const { recoverSwaps } = await import('../restore/swap.ts');
      recoverSwaps(intents);
    }
    registerPending(context);
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * The lock, or undefined while another run holds it. Who only looks something up then goes on without: it reads what is
 * whole on the disk (files are replaced whole, the history's records carry checksums) and writes nothing.
 */
export async function lockIfFree(context: Context): Promise<Lock | undefined> {
  try {
    return await lockHome(context);
  } catch (error) {
    if (error instanceof AgentError && error.kind === 'another-run') return undefined;
    throw error;
  }
}

function registerPending({ home, now }: Context): void {
  const { pending } = loadState(home, now());
  if (!pending) return;
  const mandates = loadMandates(home);
  const isNew = mandates.every(({ name, mandateId }) => name !== pending.name && mandateId !== pending.mandateId);
  const modules = existsSync(pending.path) ? detectModules(pending.path) : [];
  if (isNew && !isEmpty(pending.path)) saveMandates(home, [...mandates, { ...pending, modules }]);
  changeState(home, now(), () => ({ pending: undefined }));
}

/** True when nothing was put in place yet. */
function isEmpty(path: string): boolean {
  return !existsSync(path) || readdirSync(path).length === 0;
}
