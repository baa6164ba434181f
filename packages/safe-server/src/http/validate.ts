import type { z } from 'zod';
import { type ErrorCode, ServerError } from '../errors.ts';

/** Checks a part of a request. The answer names the first field that is wrong, never its value. */
export function validate<T>(schema: z.ZodType<T> | undefined, value: unknown, code: ErrorCode = 'invalid-field'): T {
  if (schema === undefined) return undefined as T;
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ServerError(code, { field: issue?.path.join('.') ?? '', detail: issue?.message.slice(0, 200) ?? '' });
}

/**
 * The query as name → value. A repeated name is refused: two readers would see two different requests (TN-22).
 *
 * @throws ServerError `bad-request`
 */
export function parseQuery(url: string): Record<string, string> {
  const start = url.indexOf('?');
  const query: Record<string, string> = Object.create(null) as Record<string, string>;
  if (start === -1) return query;
  const text = url.slice(start + 1);
  decodeURIComponent(text.replaceAll('+', '%20')); // throws URIError where URLSearchParams would guess
  for (const [name, value] of new URLSearchParams(text)) {
    if (name in query) throw new ServerError('bad-request', { detail: 'A query parameter is repeated' });
    query[name] = value;
  }
  return query;
}
