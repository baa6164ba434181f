import { decodeKit, normaliseSecret, openWithKit, openWithSecret, parseHeader } from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { withVault } from '../support/invariants.ts';
import { kitOnPage } from '../support/kit.ts';
import { MANDATE, Patient } from '../support/patient.ts';
import { SECRET } from '../support/world.ts';

let patient: Patient;
let kit: Uint8Array;
let secret = SECRET;
let changes = 0;

beforeAll(async () => {
  patient = await Patient.create();
  await patient.converges();
  const page = patient.world.path('kit.html');
  await patient.agent.refused(['kit', 'create', page]);
  const code = kitOnPage(page);
  await patient.agent.json(['kit', 'create', page, '--typed-back', code]);
  kit = decodeKit(code);
});
afterAll(() => patient[Symbol.asyncDispose]());

/** Whether the header that the server gives now opens with a secret key, and to the same root as ever. */
async function opens(text: string): Promise<boolean> {
  return withVault(patient.watcher, async ({ keys: { root } }, remote) => {
    const shown = await remote.vault();
    if (shown === undefined) throw new Error('no vault');
    const header = parseHeader(shown.header);
    expect(Buffer.from(openWithKit(header, kit).root).equals(root)).toBe(true); // the kit always does
    try {
      const opened = await openWithSecret(header, normaliseSecret(text), shown.share);
      return Buffer.from(opened.root).equals(root);
    } catch (error) {
      expect(error).toMatchObject({ kind: 'wrong-secret' });
      return false;
    }
  });
}

describe('F-23 an agent that is killed while it changes the secret key', () => {
  it.each([
    ['header-before', 1, 'old'],
    ['state-temp', 1, 'old'],
    ['state-renamed', 1, 'old'],
    ['commit-sent', 1, 'new'],
    ['commit-acked', 1, 'new'],
    ['header-sent', 1, 'new'],
    ['state-temp', 2, 'new'],
    ['state-renamed', 3, 'new'],
    ['header-acked', 1, 'new'],
  ] as const)(
    'F-23 at %s:%i the vault opens with the %s one and with the kit, and the change can be made again',
    async (point, n, expected) => {
      changes += 1;
      const next = `une clé toute neuve, la ${changes}e`;
      const change = (from: string) => patient.agent.with({ secret: from, env: { CRESUS_SAFE_NEW_SECRET: next } });
      expect(await change(secret).dies(point, n, ['secret', 'change'])).toBe(true);
      const [old, fresh] = [await opens(secret), await opens(next)];
      expect([old, fresh]).toEqual(expected === 'old' ? [true, false] : [false, true]);
      if (old) await change(secret).json(['secret', 'change']);
      else expect(await change(secret).refused(['secret', 'change'])).toMatchObject({ exitCode: 4 });
      secret = next;
      patient.work();
      expect(await patient.converges(patient.agent.with({ secret }))).toMatchObject({ unchanged: false });
      await patient.holds();
    },
  );
});

describe('F-23 an agent that is killed while it makes the vault', () => {
  it.each([
    ['header-before', false],
    ['commit-sent', true],
    ['header-sent', true],
    ['header-acked', true],
  ] as const)('F-23 at %s: there is no vault, or one that opens with the key that was typed', async (point, exists) => {
    const { world } = patient;
    const subscriber = await world.server.addSubscriber({ name: `Rochat ${point}` });
    const computer = world.computer();
    await computer.connect(world.server.url, subscriber.enrolmentCode);
    expect(await computer.dies(point, 1, ['secret', 'set'])).toBe(true);
    if (exists) expect(await computer.refused(['secret', 'set'])).toMatchObject({ exitCode: 2 });
    else await computer.json(['secret', 'set']);
    await computer.json(['mandate', 'add', MANDATE, '--path', patient.copy()]);
    expect(await computer.send(MANDATE)).toMatchObject({ unchanged: false, seq: 2 });
    expect(await computer.with({ secret: `${SECRET}?` }).refused(['send', MANDATE])).toMatchObject({ exitCode: 4 });
  });
});
