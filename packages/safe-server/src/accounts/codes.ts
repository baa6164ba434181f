import { createHash } from 'node:crypto';
import { type EntityManager, IsNull } from 'typeorm';
import { CodeEntity, type CodePurpose } from './entities.ts';

/** Crockford's base32: no I, L, O, U, so a code read over the telephone arrives. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const LENGTH = 16; // 80 bits: guessing is hopeless, the limits on guesses are a second line (TN-27)
const MINUTE = 60_000;

/** A new single-use code, 80 random bits, in groups of four. */
export function drawCode(random: (n: number) => Uint8Array): string {
  // 256 is a multiple of 32, so the low five bits of a byte are uniform
  const digits = Array.from(random(LENGTH), (byte) => ALPHABET[byte % 32]);
  return digits.join('').replace(/(.{4})(?=.)/g, '$1-');
}

/** What a code is stored and found as. Typed variants of the same code have the same hash. */
export function hashCode(typed: string): string {
  const code = typed.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1');
  return createHash('sha256').update(`enrolment code ${code}`).digest('hex');
}

/** Makes a code for a subscriber and stores its hash; `minutes` is how long it lives. */
export async function issueCode(
  manager: EntityManager,
  number: string,
  {
    random,
    now,
    minutes,
    purpose,
  }: { random: (n: number) => Uint8Array; now: number; minutes: number; purpose: CodePurpose },
): Promise<{ code: string; expiresAt: number }> {
  const code = drawCode(random);
  const expiresAt = now + minutes * MINUTE;
  const row = { codeHash: hashCode(code), number, purpose, createdAt: now, expiresAt, usedAt: null };
  await manager.insert(CodeEntity, row);
  return { code, expiresAt };
}

/**
 * Takes a code: the number of its subscriber, or undefined when it is unknown, used or expired; the caller answers all
 * three alike. The conditional update is what makes it single-use.
 */
export async function redeemCode(
  manager: EntityManager,
  typed: string,
  now: number,
  wanted: { purpose: CodePurpose; number?: string } = { purpose: 'enrol' },
): Promise<string | undefined> {
  const row = await manager.findOneBy(CodeEntity, { codeHash: hashCode(typed), ...wanted });
  if (row === null || row.usedAt !== null || row.expiresAt <= now) return undefined;
  const taken = await manager.update(CodeEntity, { codeHash: row.codeHash, usedAt: IsNull() }, { usedAt: now });
  return taken.affected === 1 ? row.number : undefined;
}
