import type { KdfParams } from '../crypto/argon2.ts';
import { ProtocolError } from '../errors.ts';

/** What writers use (SPEC 4.1): 256 MiB, three passes, four lanes. */
export const DEFAULT_KDF: KdfParams = { m: 262_144, t: 3, p: 4 };
/** The weakest that readers accept. */
export const MIN_KDF = { m: 65_536, t: 3 } as const;
const MAX_LANES = 8;
const MAX_WORK = 4_194_304;

/**
 * Judges Argon2id parameters, which are hostile, before anything is allocated.
 *
 * @param floor the strongest this device saw for the vault: never less work than that
 * @throws ProtocolError `kdf-downgrade` or `kdf-limit`
 */
export function checkKdf({ m, t, p }: KdfParams, floor?: KdfParams): void {
  const limit = (defect: string): never => {
    throw new ProtocolError('kdf-limit', `kdf: ${defect}`);
  };
  const downgrade = (defect: string): never => {
    throw new ProtocolError('kdf-downgrade', `kdf: ${defect}`);
  };
  for (const value of [m, t, p]) if (!Number.isSafeInteger(value) || value < 0) limit('not whole numbers');
  if (m < MIN_KDF.m) downgrade(`m is ${m}, below ${MIN_KDF.m}`);
  if (t < MIN_KDF.t) downgrade(`t is ${t}, below ${MIN_KDF.t}`);
  if (p < 1 || p > MAX_LANES) limit(`p is ${p}, not 1 to ${MAX_LANES}`);
  if (m * t > MAX_WORK) limit(`m times t is ${m * t}, over ${MAX_WORK}`);
  if (floor && m * t < floor.m * floor.t) downgrade('weaker than this device saw before for this vault');
}
