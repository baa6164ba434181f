import { type Check, worstCode } from '../doctor/check.ts';
import { lookAtHome } from '../doctor/home-checks.ts';
import { toAgentError } from '../errors.ts';
import type { Lock } from '../local/lock.ts';
import { loadState } from '../local/state.ts';
import { loadMandates } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import type { Context } from './context.ts';
import { homeChecks, mandateChecks, scheduleChecks } from './doctor-local.ts';
import { pointsChecks, serverChecks, type Told, vaultChecks } from './doctor-remote.ts';
import { badCheck } from './doctor-texts.ts';
import { lockHome } from './home-lock.ts';
import { mandateJson } from './mandate-list.ts';

const MARKS = { ok: '✓', warn: '⚠', bad: '✗' } as const;

/**
 * Looks at everything a backup needs, changes nothing, and says for each what to do.
 * @returns exit code 0 when nothing is bad, else that of the gravest
 */
export async function doctor(context: Context): Promise<Outcome> {
  const checks: Check[] = [];
  const told: Told = {};
  // what one check cannot do must not keep the others from looking
  const run = async (id: string, act: () => Check[] | Promise<Check[]>): Promise<void> => {
    try {
      checks.push(...(await act()));
    } catch (error) {
      const typed = toAgentError(error);
      if (typed.kind === 'interrupted') throw typed;
      checks.push(badCheck(context, id, typed));
    }
  };
  const seen = lookAtHome(context.home);
  await run('home', () => homeChecks(context, seen));
  using lock = seen.exists && !seen.unwritable ? await lockIfFree(context, checks) : undefined;
  await run('server', () => serverChecks(context, told));
  await run('vault', () => vaultChecks(context, lock !== undefined));
  await run('mandates', () => {
    told.mandates = loadMandates(context.home);
    return mandateChecks(context, told.mandates);
  });
  await run('points', () => pointsChecks(context, lock !== undefined));
  await run('schedule', () => scheduleChecks(context));
  return { json: facts(context, checks, told), lines: lines(context, checks), exitCode: worstCode(checks) };
}

/** The checks, and beside them the fields of `status`. */
function facts({ home, now }: Context, checks: readonly Check[], { account, mandates = [] }: Told): Outcome['json'] {
  const { expiresOn, state } = account?.subscription ?? {};
  return {
    checks,
    subscription: account ? { expiresOn, state } : null,
    mandates: mandates.length > 0 ? mandates.map((mandate) => mandateJson(mandate, loadState(home, now()))) : [],
    warnings: checks.flatMap(({ id, state, message }) => (state === 'ok' ? [] : [{ code: id, message }])),
  };
}

function lines({ texts }: Context, checks: readonly Check[]): string[] {
  const count = (state: Check['state']): number => checks.filter((check) => check.state === state).length;
  const [bad, warn] = [count('bad'), count('warn')];
  return [
    ...checks.flatMap(({ state, message, hint }) => [`${MARKS[state]} ${message}`, ...(hint ? [`  → ${hint}`] : [])]),
    '',
    bad + warn === 0 ? `✓ ${texts('doctor.good')}` : `${bad > 0 ? '✗' : '⚠'} ${texts('doctor.summary', { bad, warn })}`,
  ];
}

/** Without the lock the vault and the points are left alone: to the run that holds it, or until what keeps it away is gone. */
async function lockIfFree(context: Context, checks: Check[]): Promise<Lock | undefined> {
  try {
    return await lockHome(context);
  } catch (error) {
    const typed = toAgentError(error);
    // a run that is alive was told already
    if (typed.kind !== 'another-run') checks.push(badCheck(context, 'lock', typed));
    return undefined;
  }
}
