import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeHistory, type RawHistoryFrame, splitHistory } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Agent } from '../support/agent.ts';
import { Clock } from '../support/clock.ts';
import { type AnswerHook, flipped, json, problem } from '../support/hostile.ts';
import { noise } from '../support/noise.ts';
import { heldBy, Victim } from '../support/victim.ts';
import { SECRET } from '../support/world.ts';

jest.setTimeout(300_000); // dozens of processes, on a busy machine too

let victim: Victim;
/** The computer of the books, and another one with books of its own. */
let a: Agent;
let b: Agent;
let sent: string;
let days = 0;

beforeAll(async () => {
  victim = await Victim.create((books) => {
    mkdirSync(books);
    writeFileSync(join(books, 'comptabilite.cre'), noise('books', 40_000));
  });
  a = victim.agent;
  sent = await victim.send();
  b = await victim.another();
  await b.json(['anchor', '--without-anchor']);
  mkdirSync(victim.world.path('rochat'));
  writeFileSync(victim.world.path('rochat', 'rochat.cre'), noise('rochat', 9_000));
  await b.json(['mandate', 'add', 'Rochat', '--path', victim.world.path('rochat')]);
});
afterAll(() => victim[Symbol.asyncDispose]());

/** A new day's work on the books, sent. */
async function anotherDay(): Promise<void> {
  days += 1;
  writeFileSync(join(victim.books, 'jour.txt'), `jour ${days}`);
  rmSync(sent, { recursive: true });
  sent = await victim.send();
}

/** Answers for lists of the journal that begin after `after`. */
const journal =
  (change: (frames: RawHistoryFrame[], after: number) => RawHistoryFrame[]): AnswerHook =>
  ({ method, path }, answer) => {
    const after = /^\/v1\/journal\?after=(\d+)/.exec(path)?.[1];
    if (method !== 'GET' || after === undefined) return undefined;
    const frames = change(splitHistory(answer.body), Number(after));
    const body = Buffer.from(encodeHistory(frames));
    return { ...answer, body, headers: { ...answer.headers, 'safe-head': String(Number(after) + frames.length) } };
  };

const flip = (bytes: Uint8Array, at: number): Uint8Array => flipped(Buffer.from(bytes), at);
const HEAL = '/v1/journal/heal';
const listing = ['snapshots', 'Dupont SA'];
const sending = ['send', 'Dupont SA'];

async function warnings(agent: Agent): Promise<string[]> {
  const { stderr } = await agent.run([...listing, '--json']);
  const events = stderr.split('\n').filter((line) => line.startsWith('{'));
  return events.map((line) => (JSON.parse(line) as { code?: string }).code ?? '').filter((code) => code !== '');
}

describe('a history that the server changed', () => {
  it('MS-21 MS-19 altered, reordered, repeated or left out: nothing of it is taken over', async () => {
    await anotherDay();
    await anotherDay();
    // `b` asks from the entry it knows on, so the first frame is one it holds
    const three = (change: (held: RawHistoryFrame, one: RawHistoryFrame, two: RawHistoryFrame) => RawHistoryFrame[]) =>
      journal((frames) => (frames.length === 3 ? change(...(frames as [never, never, never])) : frames));
    const lies: [AnswerHook, number, string][] = [
      [three((held, one, two) => [held, { ...one, entry: flip(one.entry, 60) }, two]), 10, 'integrity'],
      [three((held, one, two) => [held, { ...one, receipt: flip(one.receipt, 140) }, two]), 10, 'integrity'],
      [three((held, one, two) => [held, two, one]), 13, 'omission'],
      [three((held, one, two) => [held, one, one, two]), 10, 'integrity'],
      [three((held, _, two) => [held, two]), 13, 'omission'],
    ];
    for (const [onAnswer, exitCode, code] of lies)
      await victim.repels({ onAnswer }, ['send', 'Rochat'], [exitCode, code], b);
    expect(await b.send('Rochat')).toMatchObject({ seq: 5 });
    await victim.restores(sent, 'latest', b);
  });

  it('MS-19 a snapshot whose record is withheld is an omission', async () => {
    await anotherDay();
    expect(await warnings(b)).toEqual([]); // it knows of the snapshot; its record is still to be fetched
    const target = victim.target();
    const withheld: AnswerHook = ({ path }) =>
      path.startsWith('/v1/records/') ? problem(404, 'not-found') : undefined;
    const args = ['restore', 'Dupont SA', '--snapshot', 'latest', '--to', target];
    await victim.repels({ onAnswer: withheld }, args, [13, 'omission'], b);
    await victim.restores(sent, 'latest', b);
  });

  it('MS-17 a head that goes back is a rollback, with both heads; what was sent can still be restored', async () => {
    const short = {
      onRequest: ({ path }: { path: string }) => (path === HEAL ? json({ head: null }) : undefined),
      onAnswer: journal((frames, after) => frames.slice(0, Math.max(0, 3 - after))),
    };
    const { error } = await victim.repels(short, sending, [11, 'rollback']);
    expect(error.details).toMatchObject({ shownSeq: 3, base: 3 });
    expect(error.details).toMatchObject({ held: expect.stringMatching(/^\d+-/), shown: expect.stringMatching(/^3-/) });
    const before = heldBy(a);
    victim.lies(short);
    expect(await warnings(a)).toContain('history-broken');
    expect(heldBy(a)).toEqual(before);
    await victim.restores(sent);
  });

  it('MS-24 the same old head for weeks is told to the computer that did not write it', async () => {
    const clock = new Clock(victim.world.path('clock'));
    expect(await warnings(b)).not.toContain('head-old');
    clock.advance(40 * 86_400_000);
    expect(await warnings(b.with({ env: clock.env }))).toContain('head-old');
  });
});

describe('two truths', () => {
  const data = (): string => victim.world.server.dataDir;
  const aside = (name: string): string => victim.world.path(`server-${name}`);

  /** Lets `happen` happen, then the server be again what it was before, as if it never did; `name` keeps what it was. */
  async function swapFor(name: string, happen: () => Promise<void>): Promise<void> {
    const { server } = victim.world;
    await server.stop();
    cpSync(data(), aside('before'), { recursive: true, preserveTimestamps: true });
    await server.start();
    await happen();
    await server.stop();
    renameSync(data(), aside(name));
    renameSync(aside('before'), data());
    await server.start();
  }

  it('R-07 what one computer accepted as lost is adopted by the other, with one warning', async () => {
    await swapFor('lost', async () => {
      await anotherDay();
      expect(await warnings(b)).not.toContain('history-broken');
    });
    const deaf = { onRequest: ({ path }: { path: string }) => (path === HEAL ? json({ head: null }) : undefined) };
    await victim.repels(deaf, sending, [11, 'rollback']);
    victim.lies(deaf);
    const accepted = await a.with({ secret: SECRET }).json(['anchor', '--accept-history']);
    expect(accepted).toMatchObject({ givenUp: 1 });
    victim.line.reset();
    await anotherDay();
    expect((await warnings(b)).filter((code) => code === 'history-replaced')).toHaveLength(1);
    expect(await warnings(b)).not.toContain('history-replaced');
    await victim.restores(sent, 'latest', b);
  });

  it('MS-18 two branches are a fork as soon as one computer is shown the other’s, with both signed entries kept', async () => {
    await swapFor('truth', anotherDay);
    writeFileSync(victim.world.path('rochat', 'branche.txt'), 'b');
    await b.send('Rochat');
    const { error } = await victim.repels({}, sending, [12, 'fork']);
    const evidence = JSON.parse(readFileSync(String(error.details?.['evidence']), 'utf8')) as {
      held: { entry: string };
      shown: { entry: string };
    };
    expect(evidence.held.entry).not.toBe(evidence.shown.entry);
    // the branch that `a` was on all the time
    await victim.world.server.stop();
    rmSync(data(), { recursive: true });
    renameSync(aside('truth'), data());
    await victim.world.server.start();
    await victim.restores(sent);
    const refusal = await b.refused(['send', 'Rochat']);
    expect([refusal.exitCode, refusal.error.code]).toEqual([12, 'fork']);
  });
});
