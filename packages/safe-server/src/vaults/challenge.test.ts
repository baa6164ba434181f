import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { consumeChallenge, issueChallenge } from './challenge.ts';
import { type Bed, type Client, startBed } from './conversation.test.bed.ts';

let bed: Bed;
let a: Client;

beforeAll(async () => {
  bed = await startBed();
  a = await bed.subscriber('1001');
});

afterAll(() => bed.close());

const issue = (now: number) => bed.deps.db.write((m) => issueChallenge(m, a.deviceId, { now, random: randomBytes }));
const consume = (now: number) => bed.deps.db.write((m) => consumeChallenge(m, a.deviceId, now));

test('a challenge serves once, within ten minutes, and only the newest', async () => {
  expect(await consume(0)).toBeUndefined();
  const first = await issue(0);
  const second = await issue(1000);
  expect(first.equals(second)).toBe(false);
  expect(await consume(2000)).toEqual(second);
  expect(await consume(2000)).toBeUndefined();
  await issue(0);
  expect(await consume(10 * 60 * 1000)).toBeUndefined();
  const last = await issue(0);
  expect(await consume(10 * 60 * 1000 - 1)).toEqual(last);
});
