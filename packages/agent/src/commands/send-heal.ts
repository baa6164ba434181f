import { toAgentError } from '../errors.ts';
import { loadMandates } from '../mandate/mandates.ts';
import { explain } from '../render/output.ts';
import { visible } from '../render/text.ts';
import type { Account } from '../vault/remote.ts';
import type { Context } from './context.ts';
import type { Safe } from './open.ts';
import { warner } from './open.ts';

/** What a send healed of what the server had lost, over all mandates of this computer. */
export interface Healed {
  readonly packs: number;
  readonly snapshots: number;
  /** Snapshots that stay damaged. */
  readonly damaged: number;
}

/**
 * Heals what the server says that it lost, of every mandate that is on this computer. It never stops a send: what cannot
 * be healed is told, and the next snapshot is whole all the same.
 */
export async function healLost(
  context: Context,
  safe: Safe,
  { damagedPacks = 0, damagedSnapshots = 0 }: Pick<Account, 'damagedPacks' | 'damagedSnapshots'>,
): Promise<Healed | undefined> {
  if (damagedPacks + damagedSnapshots === 0) return undefined;
  const { packs: damaged, lostRecords } = await safe.remote.damage();
  await safe.vault.giveBack(lostRecords);
  const { healMandate } = await import('../heal/heal.ts');
  const healed = { packs: 0, snapshots: 0, damaged: 0 };
  for (const mandate of loadMandates(context.home)) {
    const name = visible(mandate.name);
    try {
      const result = await healMandate({ vault: safe.vault, mandate, damaged, signal: context.signal });
      healed.packs += result.packs;
      healed.snapshots += result.healed.length;
      healed.damaged += result.damaged.length;
      if (result.damaged.length > 0)
        warner(context)({ code: 'still-damaged', params: { name, count: result.damaged.length } });
    } catch (error) {
      const typed = toAgentError(error);
      if (typed.kind === 'interrupted' || safe.vault.broken) throw error;
      const { message } = explain(typed, context.texts);
      warner(context)({ code: 'heal-failed', params: { name, message } });
    }
  }
  return healed;
}

/** What a person reads of it. */
export function healedLines({ texts }: Context, healed: Healed | undefined): string[] {
  if (healed === undefined || healed.packs === 0) return [];
  return [`✓ ${texts('send.healed', { count: healed.snapshots })}`];
}
