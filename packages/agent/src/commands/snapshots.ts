import { AgentError } from '../errors.ts';
import { findMandate, loadMandates, nameKey } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { brief, counted, momentText, sizeText, table, visible } from '../render/text.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import { lockIfFree } from './home-lock.ts';
import { openSafe } from './open.ts';
import { fateTexts, snapshotJson } from './snapshot-json.ts';

/**
 * Lists the snapshots of a mandate of this computer, or of one that exists only in the Safe; newest first. Those that
 * were let go are only counted for people, unless `all`.
 */
export async function snapshots(context: Context, name: string, all = false): Promise<Outcome> {
  using lock = await lockIfFree(context);
  const safe = await openSafe(context, lock === undefined ? 'look' : 'read');
  try {
    const { vault } = safe;
    const list = snapshotsOf(context, vault, name).toReversed();
    return {
      json: { snapshots: list.map((one) => snapshotJson(vault, one)) },
      lines: lines(context, vault, list, { name, all }),
    };
  } finally {
    safe.close();
  }
}

function lines(
  context: Context,
  vault: Vault,
  list: readonly SnapshotInfo[],
  { name, all }: { name: string; all: boolean },
): string[] {
  const { texts } = context;
  if (list.length === 0) return [texts('snapshots.none', { name: visible(name) })];
  const shown = all ? list : list.filter(({ id }) => !vault.mayBeGone(id));
  const freed = list.length - shown.length;
  const rows = table(
    shown.map((snapshot) => cells(context, vault, snapshot)),
    [2, 3],
  );
  return [...rows, ...(freed > 0 ? [texts('snapshots.freed-count', { count: freed })] : [])];
}

/**
 * Every snapshot of the mandate with this name, oldest first, also those forgotten or let go. A mandate of this computer is found by its id, whatever it
 * was called when it was sent; otherwise the name decides, as the newest snapshot of each mandate says it.
 * @throws AgentError `not-found` when neither this computer nor the Safe knows the name
 */
export function snapshotsOf(context: Context, vault: Vault, name: string): SnapshotInfo[] {
  const all = vault.everySnapshot();
  const here = findMandate(loadMandates(context.home), name);
  if (here) return all.filter(({ mandateId }) => mandateId === here.mandateId);
  const newest = new Map(all.map((snapshot) => [snapshot.mandateId, snapshot]));
  const found = [...newest.values()].findLast(({ mandateName }) => nameKey(mandateName) === nameKey(name));
  if (found) return all.filter(({ mandateId }) => mandateId === found.mandateId);
  const known = [...newest.values()].map(({ mandateName }) => mandateName).join(', ');
  throw new AgentError('not-found', `no mandate is named ${name}`, {
    key: 'error.no-mandate',
    hint: known ? 'hint.no-mandate' : 'hint.none',
    params: { name, known },
    details: { name },
  });
}

/** The snapshot that `text` means: `latest`, a whole id, or its beginning. @throws AgentError `not-found`, `usage` */
export function chooseSnapshot(list: readonly SnapshotInfo[], text: string, name: string): SnapshotInfo {
  const wanted = text.toLowerCase();
  const live = list.filter(({ forgottenAt }) => forgottenAt === undefined);
  const found = wanted === 'latest' ? live.slice(-1) : list.filter(({ id }) => wanted !== '' && id.startsWith(wanted));
  const [only] = found;
  if (only && found.length === 1) return only;
  if (found.length > 1)
    throw new AgentError('usage', `several snapshots begin with ${text}`, {
      key: 'error.ambiguous-snapshot',
      hint: 'hint.no-snapshot',
      params: { id: text },
    });
  throw new AgentError('not-found', `no snapshot ${text}`, {
    key: list.length === 0 ? 'error.no-snapshot-yet' : 'error.no-snapshot-of',
    hint: list.length === 0 ? 'hint.none' : 'hint.no-snapshot',
    params: { id: text, name },
    details: { id: text },
  });
}

function cells({ texts }: Context, vault: Vault, snapshot: SnapshotInfo): string[] {
  const { id, receivedAt, files, bytes, comment, incomplete } = snapshot;
  return [
    id.slice(0, 8),
    momentText(receivedAt),
    counted(texts, 'files', files),
    sizeText(bytes, texts.language),
    [
      ...fateTexts(texts, vault, snapshot),
      incomplete ? texts('snapshots.partial') : '',
      comment ? texts('snapshots.comment', { comment: brief(comment, 60) }) : '',
    ]
      .filter((part) => part !== '')
      .join(' · ')
      .trim(),
  ];
}
