import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathOf } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Answer, ask, ProtocolClient, randomId } from '../support/protocol-client.ts';
import { Tenants } from '../support/tenants.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;

let tenants: Tenants;

beforeAll(async () => {
  tenants = await Tenants.create();
});
afterAll(() => tenants[Symbol.asyncDispose]());

const enrol = (code: string): Promise<Answer> =>
  ask(`${tenants.url}${pathOf('devices')}`, { method: 'POST', body: { code, name: 'x' } });

/** What a guess shows of itself. */
const shown = ({ status, bytes }: Answer): [number, string] => [status, bytes.toString()];

async function extend(number: string, until: string): Promise<void> {
  await tenants.world.server.operateJson('subscriber', 'extend', number, '--until', until);
}

describe('TN-27 enrolment codes', () => {
  it('TN-27 are single-use, also for ten who try at once, and have 80 bits', async () => {
    const code = await tenants.world.server.newCode(tenants.subscribers.a.number);
    expect(code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$/);
    const answers = await Promise.all(Array.from({ length: 9 }, () => enrol(code)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ code: problem }) => problem === 'code-refused')).toHaveLength(8);
    tenants.clock.advance(15 * MINUTE); // the guesses of this address are forgotten
  });

  it('TN-27 used, expired, unknown and malformed ones cannot be told apart', async () => {
    const { server } = tenants.world;
    const expired = await server.newCode(tenants.subscribers.b.number);
    const used = await server.newCode(tenants.subscribers.b.number);
    expect((await enrol(used)).status).toBe(201);
    tenants.clock.advance(8 * DAY);
    const [first, ...others] = await Promise.all([used, expired, 'AAAA-BBBB-CCCC-DDDD', '%', "' OR 1=1 --"].map(enrol));
    expect(first?.status).toBe(404);
    for (const other of others) expect(shown(other)).toEqual(shown(first as Answer));
    tenants.clock.advance(15 * MINUTE);
  });

  it('TN-27 one for B makes a device of B, whatever else is sent along', async () => {
    const code = await tenants.world.server.newCode(tenants.subscribers.b.number);
    const url = `${tenants.url}${pathOf('devices')}`;
    const { number } = tenants.subscribers.a;
    const sneaky = await ask(url, { method: 'POST', body: { code, name: 'x', number } });
    expect(sneaky.status).toBe(400);
    const headers = { authorization: `Bearer ${tenants.a.token}` };
    const answer = await ask(url, { method: 'POST', body: { code, name: 'x' }, headers });
    expect(answer.json).toMatchObject({ number: tenants.subscribers.b.number, vault: 'exists' });
    const device = new ProtocolClient(tenants.url, answer.json as never);
    expect(await device.account()).toMatchObject({ deviceState: 'pending', number: tenants.subscribers.b.number });
  });

  it('TN-27 guessing is stopped after ten, for the right code too, until the quarter of an hour is over', async () => {
    const code = await tenants.world.server.newCode(tenants.subscribers.b.number);
    tenants.clock.freezeAt(Math.ceil(tenants.clock.now / (15 * MINUTE)) * 15 * MINUTE + 1_000);
    const statuses: number[] = [];
    for (let guess = 0; guess < 200; guess++) statuses.push((await enrol(randomId(32).slice(0, 16))).status);
    expect(statuses.slice(0, 10)).toEqual(Array(10).fill(404));
    expect(new Set(statuses.slice(10))).toEqual(new Set([429]));
    const refused = await enrol(code);
    expect([refused.status, refused.code]).toEqual([429, 'rate-limited']);
    expect(Number(refused.headers.get('retry-after'))).toBe(899);
    expect((await tenants.a.call('GET', pathOf('account'))).status).toBe(200); // who has a token is not held up
    tenants.clock.advance(15 * MINUTE);
    expect((await enrol(code)).status).toBe(201);
  });
});

describe('TN-37 the last moment of a day in Switzerland', () => {
  // [the last day, the moment it ends, the moment its grace of 14 days ends]
  it.each([
    ['2027-03-28', '2027-03-29T00:00:00+02:00', '2027-04-12T00:00:00+02:00'], // summer time begins
    ['2027-10-24', '2027-10-25T00:00:00+02:00', '2027-11-08T00:00:00+01:00'], // it ends within the grace
    ['2027-10-31', '2027-11-01T00:00:00+01:00', '2027-11-15T00:00:00+01:00'], // it ends
    ['2027-12-31', '2028-01-01T00:00:00+01:00', '2028-01-15T00:00:00+01:00'],
    ['2028-02-29', '2028-03-01T00:00:00+01:00', '2028-03-15T00:00:00+01:00'], // leap day
  ])('TN-37 %s: by the clock of the server, to the second', async (day, ends, graceEnds) => {
    const { a, clock } = tenants;
    clock.freezeAt(Date.parse(ends) - DAY);
    await extend(tenants.subscribers.a.number, day);
    const state = async (): Promise<string> =>
      (await a.account<{ subscription: { state: string } }>()).subscription.state;
    const moments: [at: number, state: string, put: number][] = [
      [Date.parse(ends) - 1_000, 'active', 201],
      [Date.parse(ends), 'grace', 201],
      [Date.parse(ends) + 1_000, 'grace', 201],
      [Date.parse(graceEnds) - 1_000, 'grace', 201],
      [Date.parse(graceEnds), 'read-only', 402],
      [Date.parse(graceEnds) + 1_000, 'read-only', 402],
    ];
    for (const [at, expected, put] of moments) {
      clock.freezeAt(at);
      expect([at, await state()]).toEqual([at, expected]);
      for (const skew of [-2 * DAY, 2 * DAY]) {
        const date = new Date(at + skew).toUTCString();
        const answer = await a.put(a.seal(), { date, 'x-date': date });
        expect([at, skew, answer.status]).toEqual([at, skew, put]);
        if (put === 402)
          expect(answer.json).toMatchObject({ code: 'subscription-expired', expiresOn: day, state: 'read-only' });
      }
    }
  });
});

describe('TN-35, TN-36 after the end', () => {
  it('TN-36 a subscription that ends between pack and commit: 402, and after an extension the pack is still there', async () => {
    const { a, clock } = tenants;
    clock.goTo(Date.parse('2029-06-01T12:00:00Z'));
    await extend(tenants.subscribers.a.number, '2029-06-01');
    const pack = a.seal();
    expect((await a.put(pack)).status).toBe(201);
    clock.goTo(Date.parse('2029-06-16T12:00:00Z'));
    const prepared = a.snapshot(pack);
    const refused = await a.append(prepared);
    expect([refused.status, refused.code]).toEqual([402, 'subscription-expired']);
    expect((await a.account<{ head: { seq: number } }>()).head.seq).toBe(1);
    await extend(tenants.subscribers.a.number, '2029-12-31');
    expect((await a.append(prepared)).status).toBe(201);
  });

  it('TN-35 read-only sends nothing and restores everything; closed gives nothing', async () => {
    const { a, clock } = tenants;
    const { number } = tenants.subscribers.a;
    const { pack, id } = await a.send();
    const send = async (): Promise<[number, unknown][]> => {
      const answers = [
        await a.put(a.seal()),
        await a.append(a.snapshot(pack)),
        await a.call('POST', pathOf('keepPacks'), { packIds: [pack.packId] }),
      ];
      return answers.map(({ status, code }) => [status, code]);
    };
    const reads = [
      pathOf('vault'),
      pathOf('journal'),
      pathOf('pack', { packId: pack.packId }),
      pathOf('record', { snapshotId: id }),
    ];
    const read = () => Promise.all(reads.map(async (path) => (await a.call('GET', path)).status));

    clock.goTo(Date.parse('2030-02-01T12:00:00Z'));
    expect(await send()).toEqual(Array(3).fill([402, 'subscription-expired']));
    expect(await read()).toEqual([200, 200, 200, 200]);
    expect((await a.call('GET', pathOf('pack', { packId: pack.packId }))).bytes.equals(pack.bytes)).toBe(true);

    clock.goTo(Date.parse('2031-03-01T12:00:00Z')); // past the read-only year, but nobody was told
    expect(await read()).toEqual([200, 200, 200, 200]);
    using database = new DatabaseSync(join(tenants.world.server.dataDir, 'safe.sqlite'));
    database.prepare('UPDATE subscriber SET notice_sent_on = ? WHERE number = ?').run('2031-03-01', number);
    clock.goTo(Date.parse('2031-05-30T12:00:00Z')); // the 90th day
    expect(await read()).toEqual([200, 200, 200, 200]);
    clock.goTo(Date.parse('2031-05-30T22:00:01Z'));
    expect(await read()).toEqual([410, 410, 410, 410]);
    expect(await send()).toEqual(Array(3).fill([410, 'closed']));
    expect((await enrol(await tenants.world.server.newCode(number))).status).toBe(404);
    expect((await tenants.b.call('GET', pathOf('vault'))).status).toBe(200); // whose subscription goes on

    await extend(number, '2031-12-31'); // who pays after all has it all again
    expect(await read()).toEqual([200, 200, 200, 200]);
  });
});
