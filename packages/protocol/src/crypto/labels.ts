import { ascii } from '../bytes/bytes.ts';

/** `L(name)` of SPEC 3: separates every use of a key from every other. */
export function label(name: string): Uint8Array {
  return ascii(`cresus-safe/1/${name}`);
}
