import { type Header, openWithKit, type VaultKeys } from '@cresus-safe/protocol';
import { toAgentError } from '../errors.ts';
import type { Config } from '../local/config.ts';
import { prepareHome } from '../local/home.ts';
import { recallRoot } from '../local/keyring.ts';
import type { Warning } from '../vault/history-state.ts';
import { StoreRemote } from '../vault/store-remote.ts';
import { type Opener, unlock } from '../vault/unlock.ts';
import type { Context } from './context.ts';
import { decodedKit, givenKit } from './kit-source.ts';

/**
 * Opens the keys of the vault in a copy of the bucket (`kit use --store`): by the remembered root, else by the kit.
 * @param keeps false beside a run that holds the lock
 * @throws AgentError `not-found`, `wrong-secret`, `integrity`
 */
export async function unlockStore(
  context: Context,
  config: Config,
  { warn, keeps, opener }: { warn: (warning: Warning) => void; keeps: boolean; opener: Opener | undefined },
): Promise<{ remote: StoreRemote; keys: VaultKeys }> {
  const { home, now } = context;
  const { deviceId, store = '' } = config;
  prepareHome(home);
  const remote = new StoreRemote({ dir: store, deviceId, now, warn });
  const chosen = opener ?? (await chooseOpener(context));
  const { keys } = await unlock({ dir: home.vault, remote, deviceId, warn, opener: chosen, keeps });
  return { remote, keys };
}

async function chooseOpener(context: Context): Promise<Opener> {
  const remembered = await recallRoot(context.home);
  if (remembered !== undefined) return { root: remembered.root };
  return { kit: decodedKit((await givenKit(context, undefined)).code) };
}

/**
 * What a kit is to a vault in a copy: it opens it, it did before it was replaced (or the keys were renewed), or neither.
 * @throws AgentError what is damaged, `not-found`
 */
export function kitFits(remote: StoreRemote, kit: Uint8Array): 'opens' | 'replaced' | 'no' {
  if (opens(remote.header, kit)) return 'opens';
  return remote.earlierHeaders.some((header) => opens(header, kit)) ? 'replaced' : 'no';
}

function opens(header: Header, kit: Uint8Array): boolean {
  try {
    openWithKit(header, kit).wipe();
    return true;
  } catch (error) {
    if (toAgentError(error).kind === 'wrong-secret') return false;
    throw error;
  }
}
