import { generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  asKeyId,
  concat,
  encodeReceipt,
  type KeyId,
  label,
  parseReceipt,
  parseRequest,
  sha256,
} from '@cresus-safe/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Listed, Verified } from '../support/agent.ts';
import { type Answer, type Asked, json, problem } from '../support/hostile.ts';
import { noise } from '../support/noise.ts';
import { Victim } from '../support/victim.ts';

jest.setTimeout(300_000); // dozens of processes, on a busy machine too

let victim: Victim;
let sent: string;
let days = 0;
/** The newest genuine receipt that the server gave. */
let receipt: Uint8Array;

beforeAll(async () => {
  victim = await Victim.create((books) => {
    mkdirSync(books);
    writeFileSync(join(books, 'comptabilite.cre'), noise('books', 40_000));
  });
  sent = await victim.send();
  const answers = victim.line.exchanges.filter(({ asked }) => isCommit(asked)).map(({ answer }) => answer?.body ?? '');
  const { receipt: text } = JSON.parse(String(answers.at(-1))) as { receipt: string };
  receipt = Buffer.from(text, 'base64');
});
afterEach(() => victim.line.reset());
afterAll(() => victim[Symbol.asyncDispose]());

const isCommit = ({ method, path }: Asked): boolean => method === 'POST' && path === '/v1/journal';
const sending = ['send', 'Dupont SA'];

/** There is something new to send. */
function work(): void {
  days += 1;
  writeFileSync(join(victim.books, 'jour.pdf'), noise(`jour ${days}`, 5_000));
}

async function snapshots(): Promise<number> {
  return (await victim.agent.json<Listed>(['snapshots', 'Dupont SA'])).snapshots.length;
}

/** After a refusal: the very next send stores the day once, and it restores. */
async function sendsHonestly(expected: number): Promise<void> {
  rmSync(sent, { recursive: true });
  sent = await victim.send();
  expect(await snapshots()).toBe(expected);
  await victim.restores(sent);
}

/** What the server would answer to a commit, with a receipt of another making. */
function committed(asked: Asked, change: (entry: ReturnType<typeof parseRequest>['entry']) => Uint8Array): Answer {
  const { entry } = parseRequest(asked.body);
  return json({ seq: entry.seq, receipt: Buffer.from(change(entry)).toString('base64') }, 201);
}

describe('what the server says about a commit', () => {
  it('MS-22 an answer that was lost after the entry was stored: one snapshot, found again', async () => {
    work();
    let lost = 0;
    const before = await snapshots();
    victim.lies({
      onAnswer: (asked) => {
        if (!isCommit(asked) || lost > 0) return undefined;
        lost += 1;
        return problem(500, 'internal');
      },
    });
    rmSync(sent, { recursive: true });
    sent = await victim.send();
    victim.line.reset();
    expect([lost, await snapshots()]).toEqual([1, before + 1]);
    await victim.restores(sent);
  });

  it('MS-22 MS-23 a success for an entry that was dropped is not believed, whatever receipt comes with it', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const raw = Buffer.from(String(publicKey.export({ format: 'jwk' }).x), 'base64url');
    const keyId = asKeyId(sha256(raw).subarray(0, 8));
    const forge = (message: Uint8Array) =>
      signBytes(null, concat(label('receipt'), Uint8Array.of(0), message), privateKey);
    const forged = (asked: Asked, by: KeyId) =>
      committed(asked, ({ seq, hash, packListHash }) =>
        encodeReceipt({ ...parseReceipt(receipt), keyId: by, seq, entryHash: hash, packListHash }, forge),
      );
    const lies: [string, string, (asked: Asked) => Answer][] = [
      ['an older genuine receipt', 'integrity', (asked) => committed(asked, () => receipt)],
      ['one signed by a key that was never announced', 'wrong-server', (asked) => forged(asked, keyId)],
      ['one that says it is by the pinned key', 'integrity', (asked) => forged(asked, parseReceipt(receipt).keyId)],
    ];
    const before = await snapshots();
    for (const [n, [, code, lie]] of lies.entries()) {
      work();
      await victim.repels({ onRequest: (asked) => (isCommit(asked) ? lie(asked) : undefined) }, sending, [10, code]);
      await sendsHonestly(before + n + 1);
    }
  });

  it('MS-46 quota or subscription refused in the middle of a send: not committed, nothing lost, the date told', async () => {
    const isPut = ({ method }: Asked): boolean => method === 'PUT';
    const expired = problem(402, 'subscription-expired', { expiresOn: '2026-01-31' });
    const lies: [(asked: Asked) => boolean, Answer, number, string][] = [
      [isPut, problem(507, 'quota'), 6, 'quota'],
      [isCommit, problem(507, 'quota'), 6, 'quota'],
      [isCommit, expired, 5, 'subscription-expired'],
    ];
    const before = await snapshots();
    for (const [when, answer, exitCode, code] of lies) {
      work();
      const onRequest = (asked: Asked) => (when(asked) ? answer : undefined);
      const { error } = await victim.repels({ onRequest }, sending, [exitCode, code]);
      if (code === 'subscription-expired') expect(JSON.stringify(error)).toContain('2026');
      expect(await snapshots()).toBe(before);
    }
    await sendsHonestly(before + 1);
  });
});

describe('packs that the server lost', () => {
  const stored = (): string[] => readdirSync(victim.packFolder);

  it('MS-25 a pack that it said it stored and threw away is never relied on', async () => {
    work();
    const [files, before] = [victim.userFiles(), stored().length];
    victim.lies({ onRequest: ({ method }) => (method === 'PUT' ? json({}, 201) : undefined) });
    const refusal = await victim.agent.refused(sending);
    expect(refusal).toMatchObject({ exitCode: 10, error: { code: 'integrity', hint: expect.any(String) } });
    expect(victim.userFiles()).toEqual(files);
    victim.line.reset();
    expect(stored()).toHaveLength(before);
    await sendsHonestly((await snapshots()) + 1);
  });

  it('MS-25 one that was lost later is found by verify, and the next send stores again what it held', async () => {
    const [lost] = stored().sort((one, two) => age(one) - age(two));
    rmSync(join(victim.packFolder, String(lost)));
    const report = await victim.agent.json<Verified>(['verify', '--full'], 10);
    expect(report.problems).toContainEqual(expect.objectContaining({ code: 'pack-damaged', pack: lost }));
    work();
    await sendsHonestly((await snapshots()) + 1);
    expect(stored()).not.toContain(lost);
  });

  const age = (id: string): number => statSync(join(victim.packFolder, id)).mtimeMs;
});
