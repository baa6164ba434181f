import { AgentError } from '../errors.ts';
import { changeState, loadState } from '../local/state.ts';
import { getMandate, loadMandates } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { namesOf, unsettledTwins } from './twins.ts';

/**
 * Says which of several mandates restored from one backup is the one to work in: the warnings end. Nothing is removed.
 * @throws AgentError `not-found`, `usage` when the mandate is no twin of another
 */
export async function mandateKeep(context: Context, name: string): Promise<Outcome> {
  const { home, texts, now } = context;
  using _lock = await lockHome(context);
  const mandates = loadMandates(home);
  const kept = getMandate(mandates, name);
  const families = unsettledTwins(mandates, loadState(home, now())).filter((twins) => twins.mandates.includes(kept));
  if (families.length === 0)
    throw new AgentError('usage', `${name} is no twin`, {
      key: 'error.no-twin',
      hint: 'hint.none',
      params: { name: kept.name },
      details: { mandate: kept.name },
    });
  const ids = new Set(families.map(({ sourceId }) => sourceId));
  changeState(home, now(), ({ twins }) => ({
    twins: twins.map((twin) => (ids.has(twin.sourceId) ? { ...twin, settled: true } : twin)),
  }));
  const others = [...new Set(families.flatMap((twins) => twins.mandates))].filter((mandate) => mandate !== kept);
  return {
    json: { kept: kept.name, others: others.map((mandate) => mandate.name) },
    lines: [texts('mandate.kept', { name: visible(kept.name), others: namesOf(others) })],
  };
}
