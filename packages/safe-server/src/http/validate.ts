import type { z } from 'zod';
import { ServerError } from '../errors.ts';

/** Checks a part of a request. The answer names the fields that are wrong, never their values. */
export function validate<T>(schema: z.ZodType<T> | undefined, value: unknown): T {
  if (schema === undefined) return undefined as T;
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues
    .slice(0, 10)
    .map(({ path, message }) => ({ path: path.join('.'), message: message.slice(0, 200) }));
  throw new ServerError('invalid', { issues });
}

/**
 * The query as name → value. A repeated name is refused: two readers would see two different requests (TN-22).
 *
 * @throws ServerError `invalid`
 */
export function parseQuery(url: string): Record<string, string> {
  const start = url.indexOf('?');
  const query: Record<string, string> = Object.create(null) as Record<string, string>;
  if (start === -1) return query;
  const text = url.slice(start + 1);
  decodeURIComponent(text.replaceAll('+', '%20')); // throws URIError where URLSearchParams would guess
  for (const [name, value] of new URLSearchParams(text)) {
    if (name in query) throw new ServerError('invalid', { detail: 'A query parameter is repeated' });
    query[name] = value;
  }
  return query;
}
