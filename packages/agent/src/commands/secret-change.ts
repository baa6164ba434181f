import { equal, normaliseSecret } from '@cresus-safe/protocol';
import type { Outcome } from '../render/output.ts';
import type { Vault } from '../vault/vault.ts';
import { withAnchor } from './anchoring.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { openSafe, renewRemembered, tiePoints, warner } from './open.ts';
import { askNewSecret, requireKeyboard, secretInFile, unattendedSecret } from './secret-source.ts';
import { showStrength } from './secret-strength.ts';

export interface SecretChangeArgs {
  readonly newSecretFile: string | undefined;
  readonly rotate: boolean;
}

/**
 * Changes the secret key: the old one is asked even where the root is remembered, so that a passer-by cannot change it.
 * Killed at any point, the vault opens with the old key or with the new one (F-23).
 * With `rotate` the vault also gets a new root: for who lost a computer together with the secret key (F-24).
 * @param newSecretFile the new key, unattended; else `CRESUS_SAFE_NEW_SECRET`, else it is typed twice
 */
export async function secretChange(context: Context, args: SecretChangeArgs): Promise<Outcome> {
  const { texts, output } = context;
  using _lock = await lockHome(context);
  const current = normaliseSecret(await currentSecret(context));
  const safe = await openSafe(context, 'write', { secret: current });
  try {
    await withAnchor(context, safe.vault);
    const { changeSecret, refuseMoreRotations } = await import('../vault/slots.ts');
    if (args.rotate) {
      refuseMoreRotations(safe.vault);
      output.say(texts('secret.rotate-explained'));
    }
    const { text, secret } = await newSecret(context, args);
    if (args.rotate && equal(secret, current)) warner(context)({ code: 'same-secret' });
    const strength = await showStrength(context, text);
    const told = { vaultId: safe.vault.keys.vaultId, strength };
    if (args.rotate) return await rotated(context, safe.vault, secret, told);
    await changeSecret(safe.vault, secret);
    return {
      json: { ...told, headCode: safe.vault.history.state.code ?? null },
      lines: [texts('secret.changed')],
    };
  } finally {
    safe.close();
  }
}

async function newSecret(
  context: Context,
  { newSecretFile }: SecretChangeArgs,
): Promise<{ text: string; secret: Uint8Array }> {
  const given =
    newSecretFile === undefined ? context.env['CRESUS_SAFE_NEW_SECRET'] || undefined : secretInFile(newSecretFile);
  const text = await askNewSecret(context, given);
  return { text, secret: normaliseSecret(text) };
}

/** Renews the keys, then what lies on this computer: the remembered root, the points' root. */
async function rotated(
  context: Context,
  vault: Vault,
  secret: Uint8Array,
  told: Record<string, unknown>,
): Promise<Outcome> {
  const { texts } = context;
  const hadKit = vault.history.state.header?.kitSlot !== undefined;
  const { rotateKeys } = await import('../vault/slots.ts');
  await rotateKeys(vault, secret);
  const remembered = await renewRemembered(context, vault.keys);
  await tiePoints(context, vault.keys);
  const { generation } = vault.keys;
  const headCode = vault.history.state.code ?? null;
  return {
    json: { ...told, headCode, rotated: true, generation, kit: hadKit ? 'invalidated' : 'none', remembered },
    lines: [
      texts('secret.rotated'),
      texts('secret.rotated-not'),
      texts(hadKit ? 'secret.rotated-kit' : 'secret.rotated-no-kit'),
      texts('secret.rotated-others'),
    ],
  };
}

async function currentSecret(context: Context): Promise<string> {
  const given = unattendedSecret(context);
  if (given !== undefined) return given;
  requireKeyboard(context);
  return context.prompt.secret(context.texts('secret.current'));
}
