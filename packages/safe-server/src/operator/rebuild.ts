import { SubscriberEntity } from '../accounts/entities.ts';
import type { Deps } from '../deps.ts';
import { OperatorError } from '../errors.ts';
import { rebuild as run } from '../jobs/rebuild.ts';
import { REBUILDING } from '../jobs/rebuild-marks.ts';
import { isSet } from '../system.ts';
import { print, type Terminal } from './terminal.ts';

/**
 * `rebuild [--catch-up]`: makes an empty database from the bucket and the key ring; with `--catch-up` brings one that is
 * behind up to the bucket.
 *
 * @throws OperatorError `rebuild.not-empty`; `rebuild.damaged` after everything that could be rebuilt was
 */
export async function rebuild(
  { deps, terminal }: { deps: Deps; terminal: Terminal },
  { catchUp }: { catchUp: boolean },
): Promise<void> {
  const used = (await deps.db.read((manager) => manager.count(SubscriberEntity))) > 0;
  if (used && !catchUp && !(await isSet(deps.db, REBUILDING))) throw new OperatorError('rebuild.not-empty', {}, 1);
  const { t } = terminal;
  const began = performance.now();
  const result = await run(deps, (done, of, entries) =>
    terminal.err(`${t('rebuild.progress', { done: String(done), of: String(of), entries: String(entries) })}\n`),
  );
  const { accounts, devices, vaults, entries, packs, damaged } = result;
  const facts = { accounts, devices, vaults, entries, packs };
  const counts = Object.fromEntries(Object.entries(facts).map(([name, count]) => [name, String(count)]));
  const seconds = Math.round(performance.now() - began) / 1000;
  print(terminal, { ...result, seconds }, () => [
    t('rebuild.done', counts),
    ...damaged.map(({ vaultId, gap, lostPacks }) =>
      gap === undefined
        ? t('rebuild.lost-packs', { vault: vaultId, count: String(lostPacks) })
        : t('rebuild.gap', { vault: vaultId, seq: String(gap.seq), reason: gap.reason }),
    ),
  ]);
  if (damaged.length > 0) throw new OperatorError('rebuild.damaged', { count: String(damaged.length) }, 1);
}
