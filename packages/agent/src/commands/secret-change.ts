import { normaliseSecret } from '@cresus-safe/protocol';
import type { Outcome } from '../render/output.ts';
import { withAnchor } from './anchoring.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { openSafe } from './open.ts';
import { askNewSecret, requireKeyboard, secretInFile, unattendedSecret } from './secret-source.ts';
import { showStrength } from './secret-strength.ts';

/**
 * Changes the secret key: the old one is asked even where the root is remembered, so that a passer-by cannot change it.
 * Killed at any point, the vault opens with the old key or with the new one (F-23).
 * @param newSecretFile the new key, unattended; else `CRESUS_SAFE_NEW_SECRET`, else it is typed twice
 */
export async function secretChange(context: Context, newSecretFile: string | undefined): Promise<Outcome> {
  const { texts, env } = context;
  using _lock = await lockHome(context);
  const current = await currentSecret(context);
  const safe = await openSafe(context, 'write', { secret: normaliseSecret(current) });
  try {
    await withAnchor(context, safe.vault);
    const given =
      newSecretFile === undefined ? env['CRESUS_SAFE_NEW_SECRET'] || undefined : secretInFile(newSecretFile);
    const text = await askNewSecret(context, given);
    const secret = normaliseSecret(text);
    const strength = await showStrength(context, text);
    const { changeSecret } = await import('../vault/slots.ts');
    await changeSecret(safe.vault, secret);
    return {
      json: { vaultId: safe.vault.keys.vaultId, strength, headCode: safe.vault.history.state.code ?? null },
      lines: [texts('secret.changed')],
    };
  } finally {
    safe.close();
  }
}

async function currentSecret(context: Context): Promise<string> {
  const given = unattendedSecret(context);
  if (given !== undefined) return given;
  requireKeyboard(context);
  return context.prompt.secret(context.texts('secret.current'));
}
