import type { State } from '../local/state.ts';
import { loadState } from '../local/state.ts';
import { loadMandates, type Mandate } from '../mandate/mandates.ts';
import { visible } from '../render/text.ts';
import type { Context } from './context.ts';

/** Mandates of this computer that hold the same business, restored from backups of one mandate. */
export interface Twins {
  readonly sourceId: string;
  readonly mandates: readonly Mandate[];
}

/** The twins of which nobody said which one lives on (`mandate keep`), or left only one here (`mandate remove`). */
export function unsettledTwins(mandates: readonly Mandate[], state: State): Twins[] {
  const families = Map.groupBy(state.twins, ({ sourceId }) => sourceId);
  return [...families].flatMap(([sourceId, twins]) => {
    if (twins.every(({ settled }) => settled)) return [];
    const ids = new Set([sourceId, ...twins.map(({ mandateId }) => mandateId)]);
    const here = mandates.filter(({ mandateId }) => ids.has(mandateId));
    return here.length < 2 ? [] : [{ sourceId, mandates: here }];
  });
}

/** Before one of them is sent: nobody works in two mandates of one business on purpose. */
export function warnOfTwins({ home, now, output, texts }: Context, mandate: Mandate): void {
  for (const { mandates } of unsettledTwins(loadMandates(home), loadState(home, now())))
    if (mandates.some(({ mandateId }) => mandateId === mandate.mandateId))
      output.warn('several-from-one', texts('warning.twins', { names: namesOf(mandates) }));
}

/** As warnings list them. */
export function namesOf(mandates: readonly Mandate[]): string {
  return mandates.map(({ name }) => visible(name)).join(', ');
}
