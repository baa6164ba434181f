import { resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import type { RestoreSource } from '../restore/source.ts';
import type { Context } from './context.ts';
import { mandateIdOf } from './open-points.ts';
import type { RestoreStores } from './restore-stores.ts';
import { chooseSnapshot, snapshotsOf } from './snapshots.ts';

/** Which backup; exactly one of the three. */
export interface SourceArgs {
  /** Undefined only with `copy`. */
  readonly name: string | undefined;
  readonly snapshot: string | undefined;
  readonly copy: string | undefined;
  readonly point: string | undefined;
}

/** A backup to be restored. */
export interface OpenedBackup {
  readonly source: RestoreSource;
  /** When it was made, as lists show it: ms since 1970. */
  readonly date: number;
  /** Of a copy. */
  readonly file: string | undefined;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Opens the backup that the flags mean. @throws AgentError `usage`, `not-found`, and what opening throws */
export async function openBackup(context: Context, stores: RestoreStores, args: SourceArgs): Promise<OpenedBackup> {
  const { name, snapshot, copy, point } = args;
  const given = [snapshot, copy, point].filter((one) => one !== undefined).length;
  if (given !== 1)
    throw new AgentError('usage', 'exactly one backup to restore is needed', {
      key: given === 0 ? 'error.restore-what' : 'error.restore-two-sources',
      hint: given === 0 ? 'hint.restore-what' : 'hint.usage',
    });
  if (copy !== undefined) return openCopyFile(context, copy);
  if (name === undefined) throw new AgentError('usage', 'which mandate', { key: 'error.no-mandate-given' });
  if (point !== undefined) return openPoint(context, stores, name, point);
  return openSnapshot(context, stores, name, snapshot ?? '');
}

async function openCopyFile(context: Context, given: string): Promise<OpenedBackup> {
  const file = resolve(given);
  const [{ isEncryptedCopy, openCopy }, { copiedSource }] = await Promise.all([
    import('../copies/open-copy.ts'),
    import('../restore/copied-source.ts'),
  ]);
  const { askCopyPassword } = await import('./copy-password.ts');
  const password = (await isEncryptedCopy(file)) ? await askCopyPassword(context, file) : undefined;
  const copy = await openCopy(file, { password });
  const source = copiedSource(copy, context.signal);
  return { source, file, date: source.createdAt, [Symbol.asyncDispose]: () => copy.close() };
}

/** A point of a mandate by `latest`, its id or the beginning of it. */
export async function openPoint(
  context: Context,
  stores: RestoreStores,
  name: string,
  wanted: string,
): Promise<OpenedBackup> {
  const points = await stores.pointsIfAny();
  const mandateId = mandateIdOf(context, points, name);
  const own = points?.vault.snapshots().filter((snapshot) => snapshot.mandateId === mandateId) ?? [];
  if (own.length === 0) throw noPoints(name);
  const found = chooseSnapshot(own, wanted, name);
  const { pointOf } = await import('../points/store.ts');
  const { vaultSource } = await import('../restore/vault-source.ts');
  const { vault } = await stores.points();
  const { comment } = pointOf(found);
  const source = await vaultSource({ vault, snapshot: found.id, kind: 'point', comment, signal: context.signal });
  return { source, date: found.createdAt, file: undefined, [Symbol.asyncDispose]: async () => undefined };
}

/** A mandate of which no point was made here yet. */
export function noPoints(name: string): AgentError {
  return new AgentError('not-found', `no points of ${name}`, {
    key: 'error.no-points',
    hint: 'hint.no-points',
    params: { name },
    details: { name },
  });
}

async function openSnapshot(
  context: Context,
  stores: RestoreStores,
  name: string,
  wanted: string,
): Promise<OpenedBackup> {
  const { vault } = await stores.safe();
  const found = chooseSnapshot(snapshotsOf(context, vault, name), wanted, name);
  const { vaultSource } = await import('../restore/vault-source.ts');
  const source = await vaultSource({ vault, snapshot: found.id, kind: 'snapshot', signal: context.signal });
  return { source, date: found.receivedAt, file: undefined, [Symbol.asyncDispose]: async () => undefined };
}
