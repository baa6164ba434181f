import { AgentError } from '../errors.ts';
import type { Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';

/**
 * Before the first write of a computer that did not make the vault: asks for the head code of another computer or of
 * the kit, or for consent, once (SPEC 2: an old but genuine state looks right to whoever sees it first).
 * @throws AgentError `acceptance-missing` when nobody can answer or the answer is no
 */
export async function withAnchor(context: Context, vault: Vault): Promise<void> {
  if (!vault.anchorNeeded || vault.history.seq === 0) return;
  const { prompt, texts } = context;
  if (!prompt.interactive) throw anchorMissing();
  const code = await prompt.line(texts('anchor.ask'));
  if (code !== '') vault.anchor({ code });
  else if (await prompt.agree(texts('anchor.ask-consent'), [texts('answer.yes')])) vault.anchor({ consent: true });
  else throw anchorMissing();
}

function anchorMissing(): AgentError {
  return new AgentError('acceptance-missing', 'this computer has no anchor yet', {
    key: 'error.anchor-missing',
    hint: 'hint.anchor-missing',
  });
}
