import { AgentError } from '../errors.ts';
import type { Context } from './context.ts';

/**
 * Asks before something that is not done lightly; `--yes` agrees.
 * @throws AgentError `acceptance-missing` when the answer is no, or when nobody can answer
 */
export async function requireYes({ prompt, texts, yes }: Context, question: string): Promise<void> {
  if (yes) return;
  if (!prompt.interactive)
    throw new AgentError('acceptance-missing', 'nobody can agree', {
      key: 'error.no-terminal-answer',
      hint: 'hint.yes',
      params: { question },
    });
  if (await prompt.agree(question, [texts('answer.yes')])) return;
  throw new AgentError('acceptance-missing', 'the answer was no', { key: 'error.not-agreed', hint: 'hint.none' });
}
