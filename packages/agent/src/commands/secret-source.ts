import { resolve } from 'node:path';
import { AgentError } from '../errors.ts';
import { readIfThere } from '../local/files.ts';
import type { Context } from './context.ts';

/**
 * The secret key given without a terminal: `--secret-file`, then `CRESUS_SAFE_SECRET`; undefined when neither is there.
 * One newline at the end of the file belongs to the editor and is taken off.
 * @throws AgentError `path-missing`
 */
export function unattendedSecret(context: Context): string | undefined {
  if (context.secretFile !== undefined) return secretInFile(context.secretFile);
  return context.env['CRESUS_SAFE_SECRET'] || undefined;
}

/** The secret key in a file, without its last newline. */
export function secretInFile(file: string): string {
  const path = resolve(file);
  const bytes = readIfThere(path);
  if (bytes === undefined)
    throw new AgentError('path-missing', `${path} is not there`, {
      key: 'error.secret-file-missing',
      params: { path },
    });
  return bytes.toString('utf8').replace(/\r?\n$/, '');
}

/** The secret key, typed when it was not given. @throws AgentError `usage` when nobody can type it */
export async function askSecret(context: Context, question: string): Promise<string> {
  const given = unattendedSecret(context);
  if (given !== undefined) return given;
  requireKeyboard(context);
  return context.prompt.secret(question);
}

/**
 * A new secret key: typed twice on a terminal. One that a file or the environment gives has been written down once
 * already, and is taken as it is.
 * @throws AgentError `mismatch`
 */
export async function askNewSecret(context: Context, given: string | undefined): Promise<string> {
  if (given !== undefined) return given;
  requireKeyboard(context);
  const { texts, prompt } = context;
  const first = await prompt.secret(texts('secret.new'));
  const { checkLength } = await import('./secret-strength.ts');
  checkLength(first);
  const second = await prompt.secret(texts('secret.again'));
  if (first.normalize('NFC') !== second.normalize('NFC'))
    throw new AgentError('mismatch', 'the two secret keys differ');
  return first;
}

/** @throws AgentError `usage` when no terminal is there to answer */
export function requireKeyboard(context: Context): void {
  if (context.prompt.interactive) return;
  throw new AgentError('usage', 'a secret key is needed and there is no terminal to ask on', {
    key: 'error.no-terminal',
    hint: 'hint.no-terminal',
  });
}
