import { resolve } from 'node:path';
import { normaliseSecret } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { readIfThere } from '../local/files.ts';
import type { Outcome } from '../render/output.ts';
import type { Vault } from '../vault/vault.ts';
import type { Context } from './context.ts';
import { lockHome } from './home-lock.ts';
import { openSafe } from './open.ts';
import { readReceiptFile } from './receipts.ts';
import { askSecret } from './secret-source.ts';

export interface AnchorArgs {
  readonly code: string | undefined;
  readonly acceptHistory: boolean;
  readonly withoutAnchor: boolean;
}

/**
 * Shows the head code to compare, or anchors the history here: to another computer's code or receipts, by consent, or
 * (after a confirmed loss) to what the server shows now.
 * @throws AgentError `rollback`, `fork`, `usage`
 */
export async function anchor(context: Context, args: AnchorArgs): Promise<Outcome> {
  using _lock = await lockHome(context);
  if (args.acceptHistory) return await acceptHistory(context);
  const safe = await openSafe(context, 'write');
  try {
    if (args.code !== undefined) safe.vault.anchor(proofOf(args.code));
    else if (args.withoutAnchor) safe.vault.anchor({ consent: true });
    return shown(context, safe.vault, said(context, args));
  } finally {
    safe.close();
  }
}

/** A head code, or the file that another computer's `receipts --export` wrote. */
function proofOf(code: string): { code: string } | { receipt: Uint8Array } {
  if (!/\.json$/i.test(code) || readIfThere(resolve(code)) === undefined) return { code };
  const newest = readReceiptFile(code).receipts.at(-1);
  return newest === undefined ? { code } : { receipt: newest.receipt };
}

function said({ texts }: Context, args: AnchorArgs): string[] {
  if (args.code !== undefined) return [texts('anchor.anchored')];
  return args.withoutAnchor ? [texts('anchor.consented')] : [];
}

/** Gives up what the server lost, for all devices: only with the typed secret, never with a remembered root. */
async function acceptHistory(context: Context): Promise<Outcome> {
  const { texts } = context;
  const secret = normaliseSecret(await askSecret(context, texts('secret.ask')));
  const safe = await openSafe(context, 'read', { secret });
  try {
    if (safe.vault.broken === undefined)
      throw new AgentError('usage', 'there is no broken history to accept', { key: 'error.nothing-to-accept' });
    const count = await safe.vault.acceptHistory();
    return shown(context, safe.vault, [texts('anchor.accepted', { count })], { givenUp: count });
  } finally {
    safe.close();
  }
}

function shown(
  { texts }: Context,
  vault: Vault,
  lines: readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): Outcome {
  const code = vault.history.state.code;
  const anchored = vault.pin?.anchored ?? null;
  return {
    json: { headCode: code ?? null, seq: vault.history.seq, anchored, ...more },
    lines: [
      ...lines,
      ...(code === undefined ? [texts('anchor.empty')] : [texts('anchor.head', { code }), texts('anchor.compare')]),
    ],
  };
}
