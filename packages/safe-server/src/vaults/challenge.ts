import type { EntityManager } from 'typeorm';
import { ChallengeEntity } from './entities.ts';

const LIFE_MS = 10 * 60 * 1000;

/** Gives a device a fresh challenge, 32 bytes, for ten minutes; the one before it is void. */
export async function issueChallenge(
  manager: EntityManager,
  deviceId: string,
  { now, random }: { now: number; random: (n: number) => Uint8Array },
): Promise<Buffer> {
  const challenge = Buffer.from(random(32));
  await manager.upsert(ChallengeEntity, { deviceId, challenge, expiresAt: now + LIFE_MS }, ['deviceId']);
  return challenge;
}

/**
 * Takes a device's challenge away and returns it; undefined when there is none or its time is over. Call it in a unit of
 * work that commits whether or not the proof is right: a challenge serves for one attempt.
 */
export async function consumeChallenge(
  manager: EntityManager,
  deviceId: string,
  now: number,
): Promise<Buffer | undefined> {
  const row = await manager.findOneBy(ChallengeEntity, { deviceId });
  if (row === null) return undefined;
  const { affected } = await manager.delete(ChallengeEntity, { deviceId, challenge: row.challenge });
  return affected === 1 && row.expiresAt > now ? row.challenge : undefined;
}
