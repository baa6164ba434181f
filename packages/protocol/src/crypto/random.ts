import { randomBytes } from 'node:crypto';
import { plainView } from '../bytes/bytes.ts';

/** Source of `n` random bytes; passed in so that vectors are reproducible. */
export type Random = (n: number) => Uint8Array;

export const systemRandom: Random = (n) => plainView(randomBytes(n));
