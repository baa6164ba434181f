import { fromHex, type Random, toHex } from '@cresus-safe/protocol';

/** What vectors hold: JSON, bytes as lower-case hex. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A value as a vector shows it: bytes become hex, what is undefined is left out. */
export function toVector(value: unknown): Json {
  if (value instanceof Uint8Array) return toHex(value);
  if (value instanceof Set) return [...value].map(toVector);
  if (Array.isArray(value)) return value.map(toVector);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, part]) => part !== undefined)
        .map(([name, part]) => [name, toVector(part)]),
    );
  return value as Json;
}

/** A generator that gives out the draws listed in a vector, in order, and no others. */
export function drawsOf(draws: readonly string[]): Random {
  const left = [...draws];
  return (n) => {
    const bytes = fromHex(left.shift() ?? '');
    if (bytes.length !== n) throw new Error(`the vector lists no draw of ${n} bytes here`);
    return bytes;
  };
}
