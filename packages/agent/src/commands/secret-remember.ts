import { normaliseSecret } from '@cresus-safe/protocol';
import { prepareHome } from '../local/home.ts';
import { forgetRoot, rememberRoot } from '../local/keyring.ts';
import type { Outcome } from '../render/output.ts';
import { visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { connectRemote, unlockKeys } from './open.ts';
import { askSecret } from './secret-source.ts';

/** Remembers the root of the vault on this computer, after the secret key was typed. @throws AgentError `wrong-secret` */
export async function secretRemember(context: Context): Promise<Outcome> {
  const { home, texts, output } = context;
  const connection = await connectRemote(context);
  using _lock = await lockHome(context);
  try {
    const secret = normaliseSecret(await askSecret(context, texts('secret.ask')));
    const keys = await unlockKeys(context, connection, { secret });
    const place = await rememberRoot(home, keys.root);
    if (place === 'file') output.warn('keyring-file', texts('warning.keyring-file', { path: visible(home.rootKey) }));
    return {
      json: { vaultId: keys.vaultId, remembered: place },
      lines: [texts(place === 'file' ? 'secret.remembered-file' : 'secret.remembered')],
    };
  } finally {
    connection.remote.close();
  }
}

/** Forgets the remembered root; needs neither the server nor the secret key. */
export async function secretForget({ home, texts }: Context): Promise<Outcome> {
  prepareHome(home);
  const forgotten = await forgetRoot(home);
  return { json: { forgotten }, lines: [texts(forgotten ? 'secret.forgotten' : 'secret.was-not-remembered')] };
}
