import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { Clock } from '../support/clock.ts';
import { differences } from '../support/compare.ts';
import { problem } from '../support/hostile.ts';
import { noise } from '../support/noise.ts';
import { Victim } from '../support/victim.ts';

jest.setTimeout(180_000);

interface Row {
  readonly id: string;
  readonly comment: string;
  readonly yearClosed: number | null;
  readonly holdUntil: string | null;
  readonly forgotten: boolean;
  readonly purgeOn: string | null;
  readonly freedOn: string | null;
}

const NAME = 'Dupont SA';
const DAY = 86_400_000;
const isoDay = (time: number): string => new Intl.DateTimeFormat('sv', { timeZone: 'Europe/Zurich' }).format(time);

let victim: Victim;
let agent: Agent;
/** Where each state lies that was sent, by its comment. */
const sent = new Map<string, string>();

async function send(comment: string, ...args: string[]): Promise<void> {
  writeFileSync(join(victim.books, 'jour.txt'), comment);
  const copy = victim.target('sent');
  await agent.send(NAME, '--comment', comment, ...args);
  const { copyTree } = await import('../support/compare.ts');
  copyTree(victim.books, copy);
  sent.set(comment, copy);
}

async function rows(by: Agent = agent): Promise<Map<string, Row>> {
  const { snapshots } = await by.json<{ snapshots: Row[] }>(['snapshots', NAME]);
  return new Map(snapshots.map((row) => [row.comment, row]));
}

const idOf = async (comment: string): Promise<string> => (await rows()).get(comment)?.id ?? '';

/** A code of the operator; by mail it comes the same. */
async function code(): Promise<string> {
  const { number } = victim.subscriber;
  const given = await victim.world.server.operateJson<Record<string, string>>(
    ...['subscriber', 'code', number, '--for', 'forget'],
  );
  return given['enrolmentCode'] ?? '';
}

beforeAll(async () => {
  victim = await Victim.create((books) => {
    const { mkdirSync } = process.getBuiltinModule('node:fs');
    mkdirSync(books);
    writeFileSync(join(books, 'comptabilite.cre'), noise('books', 40_000));
  });
  agent = victim.agent;
  for (const comment of ['un', 'deux', 'trois', 'quatre', 'cinq']) await send(comment);
});
afterAll(() => victim[Symbol.asyncDispose]());

describe('a closed year', () => {
  const thisYear = new Date().getFullYear();

  it('marks the newest snapshot when nothing changed, and is shown everywhere with its date', async () => {
    const { snapshots } = await agent.json<{ snapshots: object[] }>([
      ...['send', NAME, '--year-closed', String(thisYear - 1)],
    ]);
    const holdUntil = `${thisYear + 9}-12-31`;
    expect(snapshots).toEqual([expect.objectContaining({ unchanged: true, yearClosed: thisYear - 1, holdUntil })]);
    expect((await rows()).get('cinq')).toMatchObject({ yearClosed: thisYear - 1, holdUntil });
    expect((await rows()).get('quatre')).toMatchObject({ yearClosed: null, holdUntil: null });
    expect(await agent.json(['show', await idOf('cinq')])).toMatchObject({ yearClosed: thisYear - 1, holdUntil });
    const status = await agent.json<{ mandates: object[] }>(['status']);
    expect(status.mandates).toEqual([expect.objectContaining({ yearClosed: thisYear - 1, holdUntil })]);
    expect((await agent.run(['status', '--lang', 'fr'])).stdout).toContain(`31.12.${thisYear + 9}`);
  });

  it('is only ever extended, and is an entry with a receipt', async () => {
    const before = await agent.json<{ receipts: object[] }>(['receipts']);
    await agent.json(['send', NAME, '--year-closed', String(thisYear - 3)]);
    expect((await rows()).get('cinq')).toMatchObject({ yearClosed: thisYear - 1 });
    await agent.json(['send', NAME, '--year-closed', String(thisYear)]);
    expect((await rows()).get('cinq')).toMatchObject({ yearClosed: thisYear, holdUntil: `${thisYear + 10}-12-31` });
    const after = await agent.json<{ receipts: object[] }>(['receipts']);
    expect(after.receipts.length - before.receipts.length).toBe(1);
  });

  it('is never forgotten: exit 2 with the date', async () => {
    const { exitCode, error } = await agent.refused(['forget', await idOf('cinq'), '--yes']);
    expect([exitCode, error.code]).toEqual([2, 'usage']);
    expect(error.details).toMatchObject({ holdUntil: `${thisYear + 10}-12-31` });
  });
});

describe('the plan', () => {
  it('is shown, lengthened at once, and shortened only with an elevation', async () => {
    expect(await agent.json(['plan'])).toMatchObject({
      plan: { allDays: 30, weeklyDays: 365, monthlyDays: 3650 },
      isDefault: true,
      goes: [await idOf('un'), await idOf('deux')].map((id) => ({ id, on: isoDay(Date.now() + 30 * DAY) })),
    });
    const longer = await agent.json(['plan', 'set', '--all-days', '60']);
    expect(longer).toMatchObject({ plan: { allDays: 60, weeklyDays: 365 }, isDefault: false });
    expect(await agent.refused(['plan', 'set', '--all-days', '30'])).toMatchObject({ exitCode: 8 });
    const refused = await agent.refused(['plan', 'set', '--all-days', '30', '--yes']);
    expect([refused.exitCode, refused.error.code]).toEqual([9, 'elevation-required']);
    expect(refused.error.hint).toContain('--elevation');
  });
});

describe('forgetting', () => {
  it('asks, and needs an elevation: nothing happens without', async () => {
    const id = await idOf('un');
    expect(await agent.refused(['forget', id])).toMatchObject({ exitCode: 8, error: { code: 'acceptance-missing' } });
    expect(await agent.refused(['forget', id, '--yes'])).toMatchObject({
      exitCode: 9,
      error: { code: 'elevation-required' },
    });
    expect((await rows()).get('un')).toMatchObject({ forgotten: false, purgeOn: null });
    expect(await agent.refused(['forget', 'ffffffff', '--yes'])).toMatchObject({ exitCode: 14 });
  });

  it('is undone until its date, and restores until then', async () => {
    const ids = [await idOf('un'), await idOf('deux'), await idOf('quatre')];
    expect(await agent.refused(['forget', ...ids, '--yes', '--elevation', 'K7QD-M2XW'])).toMatchObject({
      exitCode: 9,
      error: { code: 'code-refused' },
    });
    const finished = await agent.run(['forget', ...ids, '--yes', '--elevation', await code(), '--json']);
    expect(finished).toMatchObject({ code: 0 });
    expect(finished.stderr.match(/snapshot-stays/g)).toHaveLength(1); // `quatre` is one of the last three
    const purgeOn = isoDay(Date.now() + 30 * DAY);
    expect((await rows()).get('un')).toMatchObject({ forgotten: true, purgeOn, freedOn: null });
    expect((await rows()).get('quatre')).toMatchObject({ forgotten: true, purgeOn: null, freedOn: null });
    await agent.restore(NAME, '--snapshot', ids[0] ?? '', '--to', victim.world.path('un'));
    expect(differences(sent.get('un') ?? '', victim.world.path('un'), { times: false })).toEqual([]);
    await agent.json(['unforget', ids[1] ?? '', ids[2] ?? '']);
    expect((await rows()).get('deux')).toMatchObject({ forgotten: false, purgeOn: null });
    expect((await agent.run(['snapshots', NAME, '--lang', 'fr'])).stdout).toMatch(
      /oubliée, peut être reprise jusqu'au/,
    );
  });

  it('MS-19 a server that deletes before the lock ends is told from one that keeps to it', async () => {
    const gone = await idOf('un');
    const withheld = ({ path }: { path: string }) =>
      path === `/v1/records/${gone}` ? problem(404, 'not-found') : undefined;
    victim.lies({ onAnswer: withheld });
    const early = await agent.json<{ problems: { code: string; snapshots: string[] }[] }>(['verify'], 13);
    expect(early.problems).toEqual([expect.objectContaining({ code: 'record-missing', snapshots: [gone] })]);
    const clock = new Clock(victim.world.path('clock'));
    clock.advance(31 * DAY);
    const later = agent.with({ env: clock.env });
    victim.line.reset();
    victim.lies({ onAnswer: withheld });
    expect(await later.json(['verify'])).toMatchObject({ problems: [] });
    expect((await rows(later)).get('un')).toMatchObject({ forgotten: true, freedOn: isoDay(clock.now - DAY) });
    const text = (await later.run(['snapshots', NAME, '--lang', 'fr'])).stdout;
    expect(text).toContain('1 ancienne sauvegarde a été libérée');
    expect(await later.refused(['unforget', gone])).toMatchObject({ exitCode: 14, error: { code: 'not-found' } });
    victim.line.reset();
  });
});

describe('a stolen computer', () => {
  it('is found by its name, and its revocation needs an elevation', async () => {
    const other = await victim.another();
    const { devices } = await agent.json<{ devices: { deviceId: string; self: boolean }[] }>(['devices']);
    const stolen = devices.find(({ deviceId, self }) => !self && deviceId)?.deviceId ?? '';
    const args = ['devices', 'revoke', stolen];
    expect(await agent.refused(args)).toMatchObject({ exitCode: 8 });
    expect(await agent.refused(['devices', 'revoke', 'ffff', '--yes'])).toMatchObject({ exitCode: 14 });
    await agent.json([...args, '--yes', '--elevation', await code()]);
    const refused = await other.refused(['snapshots', NAME]);
    expect([refused.exitCode, refused.error.code]).toEqual([9, 'device-revoked']);
  });
});
