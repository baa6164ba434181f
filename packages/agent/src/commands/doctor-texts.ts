import type { Check } from '../doctor/check.ts';
import type { AgentError } from '../errors.ts';
import type { Params, TextKey } from '../render/i18n.ts';
import { explain } from '../render/output.ts';
import type { Context } from './context.ts';

/** Something that is as it should be. */
export function okCheck({ texts }: Context, id: string, key: TextKey, params: Params = {}): Check {
  return { id, state: 'ok', message: texts(key, params) };
}

/** Something that works and deserves attention; its way out is the text of the same name in `doctor.hint-…`. */
export function warnCheck({ texts }: Context, id: string, key: TextKey, params: Params = {}): Check {
  return { id, state: 'warn', message: texts(key, params), hint: hintOf(texts, key, params) };
}

/** Something that does not work. */
export function wrongCheck(
  { texts }: Context,
  id: string,
  kind: NonNullable<Check['kind']>,
  key: TextKey,
  params: Params = {},
): Check {
  return { id, state: 'bad', kind, message: texts(key, params), hint: hintOf(texts, key, params) };
}

/** An error as a line of the doctor, with the way out that it has everywhere else. */
export function badCheck({ texts }: Context, id: string, error: AgentError): Check {
  const { message, hint } = explain(error, texts);
  return { id, state: 'bad', kind: error.kind, message, hint };
}

function hintOf(texts: Context['texts'], key: TextKey, params: Params): string | undefined {
  return texts.find(key.replace(/^doctor\./, 'doctor.hint-'), params);
}
