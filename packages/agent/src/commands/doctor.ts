import { type Check, worstCode } from '../doctor/check.ts';
import { lookAtHome } from '../doctor/home-checks.ts';
import { AgentError, toAgentError } from '../errors.ts';
import type { Lock } from '../local/lock.ts';
import type { Outcome } from '../render/output.ts';
import type { Context } from './context.ts';
import { homeChecks, mandateChecks, scheduleChecks } from './doctor-local.ts';
import { pointsChecks, serverChecks, vaultChecks } from './doctor-remote.ts';
import { badCheck } from './doctor-texts.ts';
import { lockHome } from './home-lock.ts';

const MARKS = { ok: '✓', warn: '⚠', bad: '✗' } as const;

/**
 * Looks at everything a backup needs, changes nothing, and says for each what to do.
 * @returns exit code 0 when nothing is bad, else that of the gravest
 */
export async function doctor(context: Context): Promise<Outcome> {
  const checks: Check[] = [];
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
  const facts = lookAtHome(context.home);
  await run('home', () => homeChecks(context, facts));
  using lock = facts.exists && !facts.unwritable ? await lockIfFree(context) : undefined;
  await run('server', () => serverChecks(context));
  await run('vault', () => vaultChecks(context, lock !== undefined));
  await run('mandates', () => mandateChecks(context));
  await run('points', () => pointsChecks(context, lock !== undefined));
  await run('schedule', () => scheduleChecks(context));
  return { json: { checks }, lines: lines(context, checks), exitCode: worstCode(checks) };
}

async function lockIfFree(context: Context): Promise<Lock | undefined> {
  try {
    return await lockHome(context);
  } catch (error) {
    if (error instanceof AgentError && error.kind === 'another-run') return undefined;
    throw error;
  }
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
