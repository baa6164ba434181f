import {
  checkWritable,
  DEFAULT_PLAN,
  dateNumber,
  type Entry,
  type EntryKind,
  type Header,
  isShorterPlan,
  type JournalRequest,
  MAX_HOLD_YEARS,
  type Plan,
  parseHeader,
  parsePlan,
  verifyEntry,
  zurichDay,
} from '@cresus-safe/protocol/public';
import type { EntityManager } from 'typeorm';
import { ServerError } from '../errors.ts';
import type { Right } from '../http/route.ts';
import type { VaultRow } from './entities.ts';
import { findHeader, findPlan, findSnapshot } from './journal-store.ts';
import { parsing } from './parsing.ts';
import { checkReplacement } from './replacement.ts';

/** Kinds that cost storage or bind the server, so they need a subscription that may send; the rest works until `closed`. */
const NEEDS_SUBSCRIPTION: ReadonlySet<EntryKind> = new Set([
  'vault-create',
  'snapshot-add',
  'year-closed',
  'plan',
  'pack-replaced',
]);

/** Who appends, and when. An entry that is healed was judged when it was first received: it has neither limit. */
export interface Appender {
  readonly rights: ReadonlySet<Right>;
  readonly now: number;
}

export function needsSubscription(kind: EntryKind): boolean {
  return NEEDS_SUBSCRIPTION.has(kind);
}

/**
 * Checks what only the vault's state can tell: the vault key's signature and the rules of the entry's kind (SPEC 5, 6).
 * Place in the chain, packs, subscription and rates are checked elsewhere.
 *
 * @param vault undefined for vault-create
 * @param appender undefined for an entry that carries this server's own receipt
 * @throws ServerError `bad-signature`, `bad-entry`, `not-found`, `conflict`, `hold-too-far`, `elevation-required`
 */
export async function checkEntry(
  manager: EntityManager,
  request: JournalRequest,
  vault: VaultRow | undefined,
  appender: Appender | undefined,
): Promise<void> {
  const { entry, attached } = request;
  const carried = attached.type === 'header' ? attached.header : undefined;
  const current = vault && (await currentHeader(manager, vault));
  checkSignature(entry, current ?? carried);
  if (current && carried) checkSuccessor(entry, current, carried);
  if (vault === undefined) return;
  if (attached.type === 'plan') await checkPlan(manager, vault, attached.plan, appender);
  if (appender !== undefined) await checkReplacement(manager, request);
  await checkSnapshot(manager, entry, appender);
}

async function currentHeader(manager: EntityManager, vault: VaultRow): Promise<Header> {
  const row = await findHeader(manager, vault.vaultId, vault.headerSeq);
  if (row === null) throw new Error('a vault always has the header it names');
  return parseHeader(row.header);
}

/** without the vault key, a token alone appends nothing; and a key that was rotated away signs nothing more. */
function checkSignature(entry: Entry, header: Header | undefined): void {
  if (header === undefined) throw new ServerError('bad-entry', { detail: 'The first entry carries a header' });
  if (entry.generation !== header.generation)
    throw new ServerError('bad-signature', { detail: `This vault is in generation ${header.generation}` });
  parsing(() => verifyEntry(entry, header.publicKey));
}

/** A new header follows the one in force: next number, the keys of the vault's past unchanged. */
function checkSuccessor(entry: Entry, current: Header, next: Header): void {
  parsing(() => checkWritable(current));
  if (next.headerSeq !== current.headerSeq + 1)
    throw new ServerError('bad-entry', { detail: `The next header has the number ${current.headerSeq + 1}` });
  const known = current.earlier.map(({ publicKey }) => publicKey);
  if (entry.kind === 'generation') known.push(current.publicKey);
  else if (!same(next.publicKey, current.publicKey))
    throw new ServerError('bad-entry', { detail: 'A slot change keeps the vault key' });
  if (!known.every((publicKey, index) => same(publicKey, next.earlier[index]?.publicKey)))
    throw new ServerError('bad-entry', { detail: 'The header names other earlier keys' });
}

function same(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.compare(a, b) === 0;
}

/** Keeping less than was promised is a way to destroy the past, so it needs an elevation. */
async function checkPlan(
  manager: EntityManager,
  vault: VaultRow,
  next: Plan,
  appender: Appender | undefined,
): Promise<void> {
  if (appender === undefined || appender.rights.has('forget')) return;
  const stored = await findPlan(manager, vault.vaultId);
  const current = stored === undefined ? DEFAULT_PLAN : parsePlan(stored);
  if (isShorterPlan(next, current))
    throw new ServerError('elevation-required', { detail: 'A shorter plan needs an elevation' });
}

async function checkSnapshot(manager: EntityManager, entry: Entry, appender: Appender | undefined): Promise<void> {
  const { kind, vaultId, subject } = entry;
  if (kind === 'snapshot-add') {
    if ((await findSnapshot(manager, vaultId, subject)) !== null)
      throw new ServerError('conflict', { detail: 'This snapshot is already in the journal' });
    return;
  }
  if (kind !== 'snapshot-forget' && kind !== 'snapshot-unforget' && kind !== 'year-closed') return;
  if (kind === 'snapshot-forget' && appender !== undefined && !appender.rights.has('forget'))
    throw new ServerError('elevation-required', { detail: 'Forgetting needs an elevation' });
  const snapshot = await findSnapshot(manager, vaultId, subject);
  if (snapshot === null || snapshot.mandateRef !== entry.mandateRef)
    throw new ServerError('not-found', { detail: 'The mandate has no such snapshot' });
  if ((kind === 'snapshot-unforget') !== (snapshot.forgottenSeq !== null))
    throw new ServerError('conflict', { detail: 'The snapshot is not in the state that this entry changes' });
  if (kind === 'snapshot-forget' && appender && snapshot.holdUntil >= today(appender.now))
    throw new ServerError('conflict', { detail: 'The snapshot is on hold', holdUntil: snapshot.holdUntil });
  if (kind === 'year-closed') checkHold(entry.holdUntil, snapshot.holdUntil, appender);
}

/** A hold can only be extended, and only so far (SPEC 6). */
function checkHold(next: number, current: number, appender: Appender | undefined): void {
  if (next < current) throw new ServerError('conflict', { detail: 'A hold is never shortened', holdUntil: current });
  if (appender && next > today(appender.now) + MAX_HOLD_YEARS * 10_000)
    throw new ServerError('hold-too-far', { detail: `A hold reaches at most ${MAX_HOLD_YEARS} years ahead` });
}

function today(now: number): number {
  return dateNumber(zurichDay(now));
}
