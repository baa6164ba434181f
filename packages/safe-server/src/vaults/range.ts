import type { ByteRange } from '../blobs/store.ts';
import { ServerError } from '../errors.ts';

/**
 * The one range of a `Range` header, cut at the object's end; undefined when there is no header. Several ranges, other
 * units and ranges outside the object are all refused: a resuming agent needs none of them (TN-23).
 *
 * @throws ServerError `range-not-satisfiable`
 */
export function parseRange(header: string | undefined, length: number): ByteRange | undefined {
  if (header === undefined) return undefined;
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim()) ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) throw refuse(length);
  const suffix = first === '';
  const start = suffix ? Math.max(0, length - Number(last)) : Number(first);
  const end = suffix || last === '' ? length - 1 : Math.min(Number(last), length - 1);
  if (start > end) throw refuse(length);
  return { start, end };
}

function refuse(length: number): ServerError {
  return new ServerError('range-not-satisfiable', { length });
}
