import { normaliseSecret } from '@cresus-safe/protocol';
import type { Outcome } from '../render/output.ts';
import type { Vault } from '../vault/vault.ts';
import { withAnchor } from './anchoring.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { decodedKit, givenKit, type Kit, type KitUseArgs } from './kit-source.ts';
import { openSafe } from './open.ts';
import { askNewSecret, unattendedSecret } from './secret-source.ts';
import { showStrength } from './secret-strength.ts';

/**
 * Opens the vault with the recovery kit and gives it a new secret key.
 * @throws AgentError `wrong-secret` when the kit opens another vault or was replaced, `usage` for a mistyped code
 */
export async function kitUse(context: Context, args: KitUseArgs): Promise<Outcome> {
  const { texts } = context;
  if (args.store !== undefined) return (await import('./kit-use-store.ts')).kitUseStore(context, args.store, args);
  using _lock = await lockHome(context);
  const kit = await givenKit(context, args.kitFile);
  const safe = await openSafe(context, 'write', { kit: decodedKit(kit.code) });
  try {
    const { vault } = safe;
    await anchored(context, vault, args, kit);
    const text = await askNewSecret(context, unattendedSecret(context));
    const secret = normaliseSecret(text);
    const strength = await showStrength(context, text);
    const { changeSecret } = await import('../vault/slots.ts');
    await changeSecret(vault, secret);
    return { json: { vaultId: vault.keys.vaultId, strength }, lines: [texts('kit.used')] };
  } finally {
    safe.close();
  }
}

async function anchored(context: Context, vault: Vault, args: KitUseArgs, kit: Kit): Promise<void> {
  const code = args.anchor ?? kit.headCode;
  if (code !== undefined) vault.anchor({ code });
  else if (args.withoutAnchor) vault.anchor({ consent: true });
  else await withAnchor(context, vault);
}
