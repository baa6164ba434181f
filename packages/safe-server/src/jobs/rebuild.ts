import { MetaEntity } from '../accounts/entities.ts';
import { crashPoint } from '../crash.ts';
import type { Deps } from '../deps.ts';
import { OperatorError, ServerError } from '../errors.ts';
import { importAccounts, readAccounts } from './rebuild-accounts.ts';
import { gapName, REBUILDING } from './rebuild-marks.ts';
import { importVault, type VaultImport } from './rebuild-vault.ts';

/** What a rebuild did. */
export interface RebuildResult {
  readonly accounts: number;
  readonly devices: number;
  /** Accounts and devices that the database did not have so. */
  readonly changed: number;
  readonly vaults: number;
  readonly entries: number;
  readonly packs: number;
  /** Vaults that are not whole: a break in the journal, or packs that are missing. */
  readonly damaged: readonly VaultImport[];
}

const JOURNAL = /^v\/([0-9a-f]{32})\/j\/(\d{10})$/;

/**
 * Makes the database from the bucket, or brings it up to the bucket: accounts and devices first, then each vault from the
 * head that the database has. Cut short anywhere, it goes on when it is run again.
 *
 * @param progress told after each vault
 * @throws OperatorError `keys.cannot-open`, before anything was changed
 */
export async function rebuild(
  deps: Deps,
  progress: (done: number, of: number, entries: number) => void,
): Promise<RebuildResult> {
  const states = await readAccounts(deps).catch((cause: unknown) => {
    throw cause instanceof ServerError ? new OperatorError('keys.cannot-open', {}, 1, { cause }) : cause;
  });
  await setMeta(deps, REBUILDING, String(deps.clock()));
  const accounts = await importAccounts(deps, states);
  crashPoint('rebuild-accounts');
  const heads = await listVaults(deps);
  const damaged: VaultImport[] = [];
  const sums = { entries: 0, packs: 0, done: 0 };
  for (const [vaultId, lastSeq] of heads) {
    const one = await importVault(deps, vaultId, lastSeq);
    if (one.gap === undefined) await deps.db.write((manager) => manager.delete(MetaEntity, { name: gapName(vaultId) }));
    else await setMeta(deps, gapName(vaultId), String(one.gap.seq));
    if (one.gap !== undefined || one.lostPacks > 0) damaged.push(one);
    sums.entries += one.entries;
    sums.packs += one.packs;
    progress(++sums.done, heads.size, sums.entries);
  }
  await deps.db.write((manager) => manager.delete(MetaEntity, { name: REBUILDING }));
  const { entries, packs } = sums;
  return { ...accounts, vaults: heads.size, entries, packs, damaged };
}

async function setMeta({ db }: Deps, name: string, value: string): Promise<void> {
  await db.write((manager) => manager.upsert(MetaEntity, { name, value }, ['name']));
}

/** Every vault of the bucket with the highest seq that the list shows. */
async function listVaults({ blobs }: Deps): Promise<Map<string, number>> {
  const heads = new Map<string, number>();
  for await (const key of blobs.list('v/')) {
    const [, vaultId, seq] = JOURNAL.exec(key) ?? [];
    if (vaultId !== undefined) heads.set(vaultId, Math.max(heads.get(vaultId) ?? 0, Number(seq)));
  }
  return heads;
}
