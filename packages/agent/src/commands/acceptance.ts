import { lstatSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import type { TextKey } from '../render/i18n.ts';
import { countText, momentText } from '../render/text.ts';
import type { Comparison } from '../restore/compare.ts';
import type { SnapshotInfo, Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import type { Target } from './restore-target.ts';

/**
 * A replacement needs its acceptance: `--accept-replace`, or the word typed after the preview. `--yes` is none.
 * @throws AgentError `acceptance-missing` with the dialog's own sentence
 */
export async function requireAcceptance(
  context: Context,
  vault: Vault,
  snapshot: SnapshotInfo,
  target: Target,
  accepted: boolean,
): Promise<void> {
  if (target.acceptance === undefined || accepted) return;
  const comparison = await compared(vault, snapshot, target);
  showPreview(context, comparison, snapshot);
  target.asked = true;
  const { prompt, texts } = context;
  const question = target.acceptance === 'current' ? 'restore.ask-current' : 'restore.ask-existing';
  if (prompt.interactive && (await acceptsInFull(context, question))) return;
  throw new AgentError('acceptance-missing', 'the replacement was not accepted', {
    key: target.acceptance === 'current' ? 'error.accept-current' : 'error.accept-existing',
    params: { path: target.path },
    details: {
      target: target.path,
      dialog: texts(target.acceptance === 'current' ? 'error.accept-current' : 'error.accept-existing'),
      ...(comparison ? { changes: comparison.changes, newerOnDisk: comparison.newer.length } : {}),
    },
  });
}

/** The whole word, not its first letter: this is the tick on the yellow ground. */
async function acceptsInFull({ prompt, texts }: Context, question: TextKey): Promise<boolean> {
  const answer = await prompt.line(texts(question));
  return answer.toLowerCase() === texts('answer.yes');
}

async function compared(vault: Vault, snapshot: SnapshotInfo, target: Target): Promise<Comparison | undefined> {
  if (!lstatSync(target.path, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const [{ readSnapshotCatalog }, { planRestore }, { compareTree }] = await Promise.all([
    import('../restore/catalog.ts'),
    import('../restore/plan.ts'),
    import('../restore/compare.ts'),
  ]);
  const record = await vault.record(snapshot.id);
  const { nodes } = await readSnapshotCatalog(vault.reader(), vault.mandate(record.mandateId), record);
  const plan = planRestore(nodes, { key: (name) => name, windows: process.platform === 'win32' });
  return compareTree(target.path, plan, record.createdAt);
}

function showPreview({ output, texts }: Context, comparison: Comparison | undefined, snapshot: SnapshotInfo): void {
  if (!comparison) return;
  const { added, changed, removed } = comparison.changes;
  output.say(
    texts('restore.preview', {
      added: countText(added),
      changed: countText(changed),
      removed: countText(removed),
    }),
  );
  const count = comparison.newer.length;
  if (count === 0) return;
  const date = momentText(snapshot.createdAt);
  output.warn('newer-on-disk', texts('warning.newer-on-disk', { count, snapshot: date }));
}
