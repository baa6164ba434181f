import { normaliseSecret, openWithSecret, parseHeader } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { cached } from '../vault/unlock.ts';

const MIN_LENGTH = 8;

/**
 * Refuses a new password that is short or is the secret key: scrypt without the server's share would be the weaker door to
 * the vault. Offline this can be known from the vault's header and share, which this computer caches once it has opened the
 * vault: the password is tried on the current secret slot (a second and 256 MiB). Where neither they nor the typed key are at
 * hand, it cannot be known; earlier secret keys and those of other vaults cannot be known either.
 * @param vaultDir the vault's folder of the home
 * @param typed the secret key, when this run was given it
 * @throws AgentError `short-secret`, `usage` (`error.copy-password-is-secret`)
 */
export async function checkNewPassword(password: string, vaultDir: string, typed: string | undefined): Promise<void> {
  if ([...password.normalize('NFC')].length < MIN_LENGTH)
    throw new AgentError('short-secret', 'the password of the copy is too short', { key: 'error.copy-password-short' });
  if (typed !== undefined && isSameText(typed, password)) throw isSecret();
  if (await opensVault(password, vaultDir)) throw isSecret();
}

function isSameText(a: string, b: string): boolean {
  return a.normalize('NFC') === b.normalize('NFC');
}

async function opensVault(password: string, vaultDir: string): Promise<boolean> {
  try {
    const vault = cached(vaultDir);
    if (vault === undefined) return false;
    const keys = await openWithSecret(parseHeader(vault.header), normaliseSecret(password), vault.share, {});
    keys.wipe();
    return true;
  } catch {
    return false; // it opens nothing, or the cache is damaged and nothing can be known
  }
}

function isSecret(): AgentError {
  return new AgentError('usage', 'the password of the copy is the secret key', {
    key: 'error.copy-password-is-secret',
  });
}
