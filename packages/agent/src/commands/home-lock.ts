import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { sweepTemporary } from '../local/files.ts';
import { prepareHome } from '../local/home.ts';
import { type Lock, lookAtLock, takeLock } from '../local/lock.ts';
import { visible } from '../render/text.ts';
import type { Context } from './context.ts';

/** The folder of the home in which a restore notes what it is about to swap. */
export function intentsFolder({ home }: Pick<Context, 'home'>): string {
  return join(home.dir, 'intents');
}

/**
 * Takes the lock of the home, which whoever opens the vault must hold (its history is a log that is appended to), removes the temporary files of killed runs (F-02) and finishes what a killed restore left,
 * saying so: a swap half done, or a restored mandate that was not noted yet.
 * @throws AgentError `another-run`
 */
export async function lockHome(context: Context): Promise<Lock> {
  prepareHome(context.home);
  const lock = takeLock(context.home.lock);
  try {
    sweepTemporary(context.home.dir);
    if (existsSync(intentsFolder(context))) await recoverRestores(context);
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** How long a point that `watch` makes is waited for, ms. */
const WATCH_WAIT_MS = 30_000;

/**
 * The lock, waited for a little while `watch` makes a point, which it does by itself when somebody may be about to send:
 * nobody should have to type a command again for that. Any other run is told at once, as `lockHome` does.
 * @throws AgentError `another-run`, `interrupted`
 */
export async function lockAfterWatch(context: Context): Promise<Lock> {
  const { patiently } = await import('../schedule/wait.ts');
  let told = false;
  const attempt = async (): Promise<Lock | AgentError> => {
    try {
      return await lockHome(context);
    } catch (error) {
      if (!(error instanceof AgentError) || error.kind !== 'another-run' || isOfWatch(context, error)) throw error;
      return error;
    }
  };
  const got = await patiently(attempt, context.signal, {
    kinds: new Set(['another-run']),
    totalMs: WATCH_WAIT_MS,
    firstMs: 250,
    longestMs: 1000,
    waits: () => {
      if (!told) context.output.say(context.texts('watch.waited-for'));
      told = true;
    },
  });
  if (got instanceof AgentError) throw got;
  return got;
}

/** Whether the run that holds the home is the watch of this home. */
function isOfWatch({ home }: Context, { details }: AgentError): boolean {
  const watch = lookAtLock(join(home.dir, 'watch.lock'));
  return watch?.alive === true && watch.pid === details['pid'];
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

/** Ends what a killed restore left, notes it, and says so. */
async function recoverRestores({ home, output, texts }: Context): Promise<void> {
  const folder = intentsFolder({ home });
  const [{ recoverSwaps }, { readNote, registerRestore }] = await Promise.all([
    import('../restore/swap.ts'),
    import('../restore/register.ts'),
  ]);
  recoverSwaps(folder, ({ intent, outcome, isAsideThere }) => {
    const replacedKept = isAsideThere ? intent.aside : null;
    if (outcome === 'new' && intent.note !== undefined)
      registerRestore(home, readNote(intent.note), { replacedKept, stamp: undefined });
    const params = { path: visible(intent.target), kept: visible(replacedKept ?? '') };
    const key = outcome === 'old' ? 'old' : replacedKept === null ? 'new' : 'kept';
    output.warn('restore-recovered', texts(`warning.restore-recovered-${key}`, params));
  });
}
