import { normaliseSecret } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { saveConfig } from '../local/config.ts';
import { changeState } from '../local/state.ts';
import type { Outcome } from '../render/output.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { connectRemote, warner } from './open.ts';
import { askNewSecret, unattendedSecret } from './secret-source.ts';
import { showStrength } from './secret-strength.ts';

/**
 * The first secret key: makes the vault.
 * @throws AgentError `usage` when a vault exists, `short-secret`, `mismatch`, `vault-missing`
 */
export async function secretSet(context: Context): Promise<Outcome> {
  const { home, texts, now } = context;
  const { config, remote } = await connectRemote(context);
  using _lock = await lockHome(context);
  try {
    await refuseSecondVault(remote);
    const text = await askNewSecret(context, unattendedSecret(context));
    const secret = normaliseSecret(text);
    const strength = await showStrength(context, text);
    const { createVault } = await import('../vault/slots.ts');
    const vault = await createVault({
      dir: home.vault,
      remote,
      deviceId: config.deviceId,
      server: { serverId: config.server.serverId, receiptKeys: config.server.receiptKeys },
      now,
      warn: warner(context),
      secret,
    });
    saveConfig(home, { ...config, vaultId: vault.keys.vaultId });
    changeState(home, now(), () => ({ known: [] }));
    return {
      json: { vaultId: vault.keys.vaultId, strength, headCode: vault.history.state.code ?? null },
      lines: [texts('secret.created'), texts('secret.next-kit')],
    };
  } finally {
    remote.close();
  }
}

/** Asked before the secret key is typed, so that nobody types one for nothing; `createVault` checks again. */
async function refuseSecondVault(remote: { account(): Promise<{ vault: 'none' | 'exists' }> }): Promise<void> {
  const { vault } = await remote.account();
  if (vault === 'none') return;
  throw new AgentError('usage', 'a vault exists already', { key: 'error.vault-exists', hint: 'hint.vault-exists' });
}
