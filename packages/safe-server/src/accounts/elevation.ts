import type { EntityManager } from 'typeorm';
import type { Deps } from '../deps.ts';
import { ServerError } from '../errors.ts';
import type { Device } from '../http/route.ts';
import { findSubscriber } from '../subscriptions/subscribers.ts';
import { issueCode, redeemCode } from './codes.ts';
import { ElevationEntity, type Language } from './entities.ts';
import { countGuess, mustWait, sourceOf } from './guesses.ts';

const MINUTE = 60_000;
/** How long a code gives the right `forget`. */
const ELEVATED_MS = 10 * MINUTE;
const MAILED_MINUTES = 30;
const DAY_MINUTES = 24 * 60;

/** Brings a code to the subscriber's mailbox. A server without one leaves codes to its operators. */
export interface CodeMailer {
  /** Resolves when the mail server has taken the mail. `expiresAt`: ms since 1970. */
  sendCode(mail: { email: string; language: Language; code: string; expiresAt: number }): Promise<void>;
}

type Outcome = { kind: 'wait'; seconds: number } | { kind: 'refused' } | { kind: 'elevated'; until: number };

/**
 * Gives this computer, and no other, the right `forget` for ten minutes of the server's time against a single-use code of
 * its own subscriber. Wrong codes count against the address and against the device.
 *
 * @returns until when, ms since 1970
 * @throws ServerError `code-refused` alike for unknown, used, expired and foreign codes; `rate-limited`
 */
export async function elevate(deps: Deps, device: Device, { code, ip }: { code: string; ip: string }): Promise<number> {
  const outcome = await deps.db.write((manager) => decide(deps, manager, { device, code, ip }));
  if (outcome.kind === 'wait') throw new ServerError('rate-limited', { retryAfter: outcome.seconds });
  if (outcome.kind === 'refused') throw new ServerError('code-refused');
  deps.log.info({ device: device.deviceId, number: device.subscriberNumber }, 'device elevated');
  return outcome.until;
}

/** In one unit of work, so that a code serves once and every wrong guess counts. */
async function decide(
  deps: Deps,
  manager: EntityManager,
  { device, code, ip }: { device: Device; code: string; ip: string },
): Promise<Outcome> {
  const now = deps.clock();
  const sources = [sourceOf(ip), `device:${device.deviceId}`];
  for (const source of sources) {
    const seconds = await mustWait(manager, source, now);
    if (seconds !== undefined) return { kind: 'wait', seconds };
  }
  const number = device.subscriberNumber;
  // another subscriber's code is looked for as that subscriber's own, so a wrong guess does not spend it
  if ((await redeemCode(manager, code, now, { purpose: 'forget', number })) === undefined) {
    for (const source of sources) await countGuess(manager, source, now);
    return { kind: 'refused' };
  }
  const untilTime = now + ELEVATED_MS;
  await manager.upsert(ElevationEntity, { deviceId: device.deviceId, untilTime }, ['deviceId']);
  const actor = `device:${device.deviceId}`;
  await deps.audit.record(manager, { actor, number, operation: 'elevation', facts: { until: untilTime } });
  return { kind: 'elevated', until: untilTime };
}

/** Has a code mailed, good for half an hour. @throws ServerError `no-mailer` where this server sends no mail; `rate-limited` */
export async function mailElevation(deps: Deps, device: Device): Promise<void> {
  const { codeMailer } = deps;
  if (codeMailer === undefined) throw new ServerError('no-mailer');
  const now = deps.clock();
  const number = device.subscriberNumber;
  const source = `mail:${number}`;
  const issued = await deps.db.write(async (manager) => {
    const seconds = await mustWait(manager, source, now);
    if (seconds !== undefined) return { seconds };
    await countGuess(manager, source, now); // each mail counts as a guess does: nobody floods a mailbox
    const subscriber = await findSubscriber(manager, number);
    if (subscriber === null) throw new ServerError('unauthorized');
    const terms = { random: deps.random, now, minutes: MAILED_MINUTES, purpose: 'forget' as const };
    const { code, expiresAt } = await issueCode(manager, number, terms);
    const actor = `device:${device.deviceId}`;
    await deps.audit.record(manager, { actor, number, operation: 'elevation-mail', facts: { expiresAt } });
    const { email, language } = subscriber;
    return { email, language, code, expiresAt };
  });
  if ('seconds' in issued) throw new ServerError('rate-limited', { retryAfter: issued.seconds ?? 60 });
  await codeMailer.sendCode(issued);
}

/** How long an operator's code lives, in minutes. */
export function operatorCodeMinutes(codeDays: number): number {
  return codeDays * DAY_MINUTES;
}
