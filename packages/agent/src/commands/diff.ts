import { diffTrees, type TreeDiff } from '../diff/diff-trees.ts';
import { catalogFiles, diskFiles } from '../diff/nodes.ts';
import { AgentError } from '../errors.ts';
import { getMandate, loadMandates, type Mandate } from '../mandate/mandates.ts';
import type { Outcome } from '../render/output.ts';
import { counted, momentText, sizeText, visible } from '../render/text.ts';
import { readSnapshotCatalog } from '../restore/catalog.ts';
import type { Context } from './context.ts';
import { type Found, findState, newestSnapshot } from './find-state.ts';
import { lockHome } from './home-lock.ts';
import { RestoreStores } from './restore-stores.ts';

type Nodes = Awaited<ReturnType<typeof readSnapshotCatalog>>['nodes'];

const LISTED = 40;

/**
 * What changed between two states of a mandate, snapshots or points; with one name, between its newest snapshot and its
 * folder. Of the saved states only the catalogs are read.
 * @throws AgentError `not-found`, `usage` when the states are of two mandates
 */
export async function diff(context: Context, first: string, second: string | undefined): Promise<Outcome> {
  using _lock = await lockHome(context);
  using stores = new RestoreStores(context);
  if (second === undefined) return await diffDisk(context, stores, getMandate(loadMandates(context.home), first));
  const from = await findState(stores, first);
  const to = await findState(stores, second);
  requireSameMandate(from, to);
  const [before, after] = [await nodesOf(context, from), await nodesOf(context, to)];
  return outcome(context, stateJson(from), stateJson(to), diffTrees(catalogFiles(before), catalogFiles(after)));
}

async function diffDisk(context: Context, stores: RestoreStores, mandate: Mandate): Promise<Outcome> {
  const from = await newestSnapshot(context, stores, mandate.name);
  const before = await nodesOf(context, from);
  const after = await diskFiles(mandate.path, before, context.signal);
  const to = { kind: 'disk', id: null, createdAt: context.now(), mandate: mandate.name, path: mandate.path };
  return outcome(context, stateJson(from), to, diffTrees(catalogFiles(before), after));
}

function requireSameMandate(a: Found, b: Found): void {
  if (a.snapshot.mandateId === b.snapshot.mandateId) return;
  throw new AgentError('usage', 'the two states are of two mandates', {
    key: 'error.diff-mandates',
    params: { first: a.snapshot.mandateName, second: b.snapshot.mandateName },
  });
}

async function nodesOf({ signal }: Context, { vault, snapshot }: Found): Promise<Nodes> {
  const record = await vault.record(snapshot.id);
  try {
    return (await readSnapshotCatalog(vault.reader(signal), vault.mandate(record.mandateId), record)).nodes;
  } catch (error) {
    throw vault.missing(snapshot.id, error);
  }
}

interface StateJson {
  readonly kind: string;
  readonly id: string | null;
  readonly createdAt: number;
  readonly mandate: string;
}

function stateJson({ kind, snapshot }: Found): StateJson {
  const { id, createdAt, mandateName } = snapshot;
  return { kind, id, createdAt, mandate: mandateName };
}

function outcome(context: Context, from: StateJson, to: StateJson, tree: TreeDiff): Outcome {
  return { json: { from, to, ...tree }, lines: lines(context, from, to, tree) };
}

function lines(context: Context, from: StateJson, to: StateJson, tree: TreeDiff): string[] {
  const { texts } = context;
  const { language } = texts;
  const size = (bytes: number): string => sizeText(bytes, language);
  const { added, changed, removed, renamed, unchanged } = tree;
  return [
    texts('diff.title', { name: visible(to.mandate), from: stateText(context, from), to: stateText(context, to) }),
    ...listed(context, renamed, (entry) => `→ ${visible(entry.from)} → ${visible(entry.path)}  (${size(entry.size)})`),
    ...listed(context, removed, (entry) => `- ${visible(entry.path)}  (${size(entry.size)})`),
    ...listed(
      context,
      changed,
      (entry) => `± ${visible(entry.path)}  (${size(entry.sizeBefore)} → ${size(entry.size)})`,
    ),
    ...listed(context, added, (entry) => `+ ${visible(entry.path)}  (${size(entry.size)})`),
    texts('diff.summary', {
      added: added.length,
      changed: changed.length,
      removed: removed.length,
      renamed: renamed.length,
      unchanged: counted(texts, 'files', unchanged),
    }),
  ];
}

function stateText({ texts }: Context, { kind, id, createdAt }: StateJson): string {
  if (id === null) return texts('diff.disk');
  return texts(kind === 'point' ? 'diff.point' : 'diff.snapshot', { id: id.slice(0, 8), date: momentText(createdAt) });
}

function listed<T>({ texts }: Context, entries: readonly T[], line: (entry: T) => string): string[] {
  const left = entries.length - LISTED;
  return [
    ...entries.slice(0, LISTED).map((entry) => `  ${line(entry)}`),
    ...(left > 0 ? [texts('send.more', { count: left })] : []),
  ];
}
