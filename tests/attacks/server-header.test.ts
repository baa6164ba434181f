import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asVaultId, createHeader, idBytes, normaliseSecret, u32Bytes, VaultKeys } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type Answer, type AnswerHook, type Asked, flipped, json, problem } from '../support/hostile.ts';
import { noise } from '../support/noise.ts';
import { Victim } from '../support/victim.ts';
import { SECRET } from '../support/world.ts';

/** The body of `GET /v1/vault`. */
interface Shown {
  readonly vaultId: string;
  readonly header: string;
  readonly share: string;
}

jest.setTimeout(300_000); // dozens of processes, on a busy machine too

let victim: Victim;
let sent: string;
/** What the server showed before and after the secret key was changed. */
let older: Shown;
let newest: Shown;

const NEW_SECRET = 'la clé suivante 2026';
const M = 84 + 52; // of the secret slot: SPEC 4.2 and 5
const isVault = ({ method, path }: Asked): boolean => method === 'GET' && path === '/v1/vault';
const sending = ['send', 'Dupont SA'];

const shownIn = (answers: readonly (Answer | undefined)[]): Shown => JSON.parse(String(answers.at(-1)?.body)) as Shown;
const lastShown = (): Shown =>
  shownIn(victim.line.exchanges.filter((one) => isVault(one.asked)).map((one) => one.answer));

beforeAll(async () => {
  victim = await Victim.create((books) => {
    mkdirSync(books);
    writeFileSync(join(books, 'comptabilite.cre'), noise('books', 30_000));
  });
  sent = await victim.send();
  older = lastShown();
  const changing = victim.agent.with({ secret: SECRET, env: { CRESUS_SAFE_NEW_SECRET: NEW_SECRET } });
  await changing.json(['secret', 'change']);
  await victim.agent.send('Dupont SA');
  newest = lastShown();
  expect(newest.header).not.toBe(older.header);
});
afterAll(() => victim[Symbol.asyncDispose]());

/** Shows something else for the vault; keeps the requests that followed in `asked`. */
function showing(change: (honest: Shown) => object, asked: Asked[] = []) {
  const onAnswer: AnswerHook = (request, answer) =>
    isVault(request) ? json({ ...shownIn([answer]), ...change(shownIn([answer])) }) : undefined;
  const onRequest = (request: Asked): undefined => void asked.push(request);
  return { onAnswer, onRequest };
}

/** The newest header with other bytes. */
const header = (change: (bytes: Buffer) => Uint8Array) => () => ({
  header: Buffer.from(change(Buffer.from(newest.header, 'base64'))).toString('base64'),
});

function put(at: number, value: number) {
  return header((bytes) => {
    bytes.set(u32Bytes(value), at);
    return bytes;
  });
}

/** A vault of the server's own making, under any name. */
async function invented(vaultId?: string): Promise<Shown> {
  const random = (n: number): Uint8Array =>
    n === 16 && vaultId !== undefined ? idBytes(asVaultId(vaultId)) : noise('attacker', n);
  const keys = VaultKeys.create(random);
  const share = new Uint8Array(32).fill(1);
  const secret = normaliseSecret('ce que veut le serveur');
  const made = await createHeader(keys, { secret, share, headerSeq: 99, kdf: { m: 65_536, t: 16, p: 1 } });
  const [text, shareText] = [made, share].map((bytes) => Buffer.from(bytes).toString('base64')) as [string, string];
  return { vaultId: keys.vaultId, header: text, share: shareText };
}

describe('the header that the server shows', () => {
  it('MS-08 R-02 the one of before the secret key was changed is a rollback, with the remembered key or a typed one', async () => {
    const lie = showing(() => older);
    await victim.repels(lie, sending, [11, 'rollback']);
    await victim.repels(lie, sending, [11, 'rollback'], victim.agent.with({ secret: SECRET }));
    await victim.restores(sent);
  });

  it('MS-09 MS-10 a cheaper or an absurd key derivation is refused before anything is derived, and nothing is sent', async () => {
    const typed = victim.agent.with({ secret: NEW_SECRET });
    // without a pin of this very header its other bytes are judged, as on a computer that lost its state
    const lies: [(honest: Shown) => object, string][] = [
      [put(M, 8), 'fork'],
      [put(M + 4, 1), 'fork'],
      [put(M, 0xffffffff), 'fork'],
    ];
    for (const [lie, code] of lies) {
      const asked: Asked[] = [];
      const refusal = await victim.repels(showing(lie, asked), sending, [12, code], typed);
      expect(asked.map(({ method, body }) => `${method} ${body.length}`)).toEqual(['GET 0']);
      expect(refusal.finished.stderr).not.toContain(NEW_SECRET);
    }
  });

  it('MS-09 MS-10 on a new computer too', async () => {
    const fresh = victim.world.computer({ secret: NEW_SECRET });
    await fresh.connect(victim.line.url, await victim.world.server.newCode(victim.subscriber.number));
    const lies: [(honest: Shown) => object, string][] = [
      [put(M, 8), 'kdf-downgrade'],
      [put(M + 4, 1), 'kdf-downgrade'],
      [put(M, 0xffffffff), 'kdf-limit'],
      [put(M + 4, 0xffffffff), 'kdf-limit'],
    ];
    for (const [lie, code] of lies) {
      const asked: Asked[] = [];
      await victim.repels(showing(lie, asked), ['snapshots', 'Dupont SA'], [10, code], fresh);
      expect(asked.map(({ method, body }) => `${method} ${body.length}`)).toEqual(['GET 0']);
    }
    // MS-15: what an honest server shows opens, but nothing is written before this history was compared
    const listed = await fresh.json<{ snapshots: unknown[] }>(['snapshots', 'Dupont SA']);
    expect(listed.snapshots).toHaveLength(1);
    writeFileSync(victim.world.path('neuf.txt'), 'neuf');
    mkdirSync(victim.world.path('neuf'));
    await fresh.json(['mandate', 'add', 'Neuf', '--path', victim.world.path('neuf')]);
    const refusal = await fresh.refused(['send', 'Neuf']);
    expect([refusal.exitCode, refusal.error.code]).toEqual([8, 'acceptance-missing']);
    expect(refusal.error.hint).toMatch(/anchor/);
  });

  it('MS-11 a header that is no text, or missing, is no answer of a Safe', async () => {
    for (const value of [65_536, -1, null, ['x'], { m: 65_536.5 }])
      await victim.repels(
        showing(() => ({ header: value })),
        sending,
        [9, 'unreachable'],
      );
  });

  it('MS-12 MS-14 R-02 slots that were changed, swapped in or made by the server never open anything', async () => {
    const own = await invented(newest.vaultId);
    await victim.repels(showing(header((bytes) => flipped(bytes, 84 + 25))), sending, [12, 'fork']);
    await victim.repels(
      showing(() => own),
      sending,
      [4, 'wrong-secret'],
    );
    await victim.repels(showing(header((bytes) => bytes.subarray(0, 100))), sending, [10, 'integrity']);
    await victim.restores(sent);
  });

  it('MS-15 a vault of the server’s own making is not the one that this computer knows', async () => {
    const own = await invented();
    await victim.repels(
      showing(() => own),
      sending,
      [10, 'wrong-server'],
    );
  });

  it('MS-16 “there is no vault, make one” is not believed by a computer that has one', async () => {
    const asked: Asked[] = [];
    const onRequest = (request: Asked) => {
      asked.push(request);
      return isVault(request) ? problem(404, 'vault-none') : undefined;
    };
    await victim.repels({ onRequest }, sending, [10, 'vault-missing']);
    // it does not even ask: its vault exists, whatever a server says
    await victim.repels({ onRequest }, ['secret', 'set'], [2, 'usage'], victim.agent.with({ secret: SECRET }));
    expect(asked.filter(({ method }) => method !== 'GET')).toEqual([]);
    await victim.restores(sent);
  });

  it('R-03 a share that the server lost is its own error, never “wrong secret key”', async () => {
    const lost = showing(() => ({ share: Buffer.alloc(32).toString('base64') }));
    await victim.repels(lost, sending, [10, 'wrong-share'], victim.agent.with({ secret: NEW_SECRET }));
    victim.lies(lost);
    expect(await victim.agent.send('Dupont SA')).toMatchObject({ unchanged: true }); // the remembered key needs none
    victim.line.reset();
  });
});
