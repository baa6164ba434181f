import { AgentError } from '../errors.ts';
import type { TextKey } from '../render/i18n.ts';
import { countText, momentText, visible } from '../render/text.ts';
import type { Preview } from '../restore/preview.ts';
import type { Context } from './context.ts';
import type { OpenedBackup } from './restore-source.ts';
import type { Target } from './restore-target.ts';

/**
 * A replacement needs its acceptance: `--accept-replace`, or the word typed after the preview. `--yes` is none.
 * @throws AgentError `acceptance-missing` with the dialog's own sentence
 */
export async function requireAcceptance(
  context: Context,
  { changes, newer }: Preview,
  { acceptance, path }: Target,
  accepted: boolean,
): Promise<void> {
  if (acceptance === undefined || accepted) return;
  const { prompt, texts } = context;
  const question = acceptance === 'current' ? 'restore.ask-current' : 'restore.ask-existing';
  if (prompt.interactive && (await acceptsInFull(context, question))) return;
  const key = acceptance === 'current' ? 'error.accept-current' : 'error.accept-existing';
  throw new AgentError('acceptance-missing', 'the replacement was not accepted', {
    key,
    params: { path },
    details: { target: path, dialog: texts(key), changes, newerOnDisk: newer.length },
  });
}

/** The whole word, not its first letter: this is the tick on the yellow ground. */
async function acceptsInFull({ prompt, texts }: Context, question: TextKey): Promise<boolean> {
  const answer = await prompt.line(texts(question));
  return answer.toLowerCase() === texts('answer.yes');
}

/** What will change, and what is newer on the disk than in the backup. */
export function showPreview(
  { output, texts }: Context,
  { changes, newer }: Preview,
  { date, source }: OpenedBackup,
  { mandate }: Target,
): void {
  const { added, changed, removed } = changes;
  output.say(
    texts('restore.preview', {
      added: countText(added),
      changed: countText(changed),
      removed: countText(removed),
    }),
  );
  if (newer.length > 0) {
    const params = { count: newer.length, snapshot: momentText(date), first: visible(newer[0] ?? '') };
    output.warn('newer-on-disk', texts('warning.newer-on-disk', params));
  }
  if (mandate && mandate.mandateId !== source.mandateId) {
    const params = { name: visible(mandate.name), source: visible(source.mandateName) };
    output.warn('other-mandate', texts('warning.other-mandate', params));
  }
}
