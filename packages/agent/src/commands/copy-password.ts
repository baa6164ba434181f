import { basename } from 'node:path';
import { AgentError } from '../errors.ts';
import { visible } from '../render/text.ts';
import type { Context } from './context.ts';
import { unattendedSecret } from './secret-source.ts';

/** The password given without a terminal. */
export function unattendedPassword({ env }: Context): string | undefined {
  return env['CRESUS_SAFE_COPY_PASSWORD'] || undefined;
}

/**
 * A password for a new copy: from `CRESUS_SAFE_COPY_PASSWORD`, else typed twice.
 * @throws AgentError `short-secret`, `mismatch`, `usage` when it is the secret key, or when nobody can type it
 */
export async function newCopyPassword(context: Context): Promise<string> {
  const { texts, home, output } = context;
  const password = unattendedPassword(context) ?? (await typedTwice(context));
  const { checkNewPassword } = await import('../copies/copy-password.ts');
  await checkNewPassword(password, home.vault, unattendedSecret(context));
  const { strengthOf } = await import('./secret-strength.ts');
  if ((await strengthOf(password)) < 2) output.warn('weak-copy-password', texts('warning.weak-copy-password'));
  return password;
}

async function typedTwice(context: Context): Promise<string> {
  const { texts, prompt } = context;
  requireTerminal(context);
  const first = await prompt.secret(texts('copies.new-password'));
  const second = await prompt.secret(texts('copies.again'));
  if (first.normalize('NFC') === second.normalize('NFC')) return first;
  throw new AgentError('mismatch', 'the two passwords differ', { key: 'error.copy-password-mismatch' });
}

/** The password of a copy that exists. @throws AgentError `usage` when nobody can type it */
export async function askCopyPassword(context: Context, file: string): Promise<string> {
  const given = unattendedPassword(context);
  if (given !== undefined) return given;
  requireTerminal(context);
  return context.prompt.secret(context.texts('copies.password', { name: visible(basename(file)) }));
}

function requireTerminal({ prompt }: Context): void {
  if (prompt.interactive) return;
  throw new AgentError('usage', 'the password of the copy is needed and there is no terminal to ask on', {
    key: 'error.copy-password-asked',
    hint: 'hint.copy-password-needed',
  });
}
