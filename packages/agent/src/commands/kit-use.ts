import { resolve } from 'node:path';
import { decodeKit, normaliseSecret } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { readIfThere } from '../local/files.ts';
import { readKitPage } from '../render/kit-page.ts';
import type { Outcome } from '../render/output.ts';
import type { Vault } from '../vault/vault.ts';
import { withAnchor } from './anchoring.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { openSafe } from './open.ts';
import { askNewSecret, unattendedSecret } from './secret-source.ts';
import { showStrength } from './secret-strength.ts';

export interface KitUseArgs {
  readonly kitFile: string | undefined;
  readonly anchor: string | undefined;
  readonly withoutAnchor: boolean;
}

interface Kit {
  readonly code: string;
  /** The head code that was printed with it: an anchor that comes from the same trusted paper. */
  readonly headCode: string | undefined;
}

/**
 * Opens the vault with the recovery kit and gives it a new secret key.
 * @throws AgentError `wrong-secret` when the kit opens another vault or was replaced, `usage` for a mistyped code
 */
export async function kitUse(context: Context, args: KitUseArgs): Promise<Outcome> {
  const { texts } = context;
  using _lock = await lockHome(context);
  const kit = await givenKit(context, args.kitFile);
  const safe = await openSafe(context, 'write', { kit: decoded(kit.code) });
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

/** The kit from a file (its code, or the page itself), from `CRESUS_SAFE_KIT`, or typed. */
async function givenKit({ prompt, texts, env }: Context, file: string | undefined): Promise<Kit> {
  if (file !== undefined) return kitInFile(file);
  const code = env['CRESUS_SAFE_KIT'];
  if (code) return { code, headCode: undefined };
  if (!prompt.interactive)
    throw new AgentError('usage', 'the kit is needed and there is no terminal', {
      key: 'error.no-kit',
      hint: 'hint.no-kit',
    });
  return { code: await prompt.line(texts('kit.ask')), headCode: undefined };
}

function kitInFile(file: string): Kit {
  const path = resolve(file);
  const bytes = readIfThere(path);
  if (bytes === undefined)
    throw new AgentError('path-missing', `${path} is not there`, { key: 'error.file-missing', params: { path } });
  const text = bytes.toString('utf8');
  return readKitPage(text) ?? { code: text.trim(), headCode: undefined };
}

function decoded(code: string): Uint8Array {
  try {
    return decodeKit(code);
  } catch (cause) {
    throw new AgentError('usage', 'not the code of a kit', { key: 'error.kit-format', hint: 'hint.none', cause });
  }
}
