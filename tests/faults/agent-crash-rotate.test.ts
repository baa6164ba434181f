import { HttpRemote, homeAt, readToken } from '@cresus-safe/agent';
import {
  decodeKit,
  type Header,
  normaliseSecret,
  openWithKit,
  openWithSecret,
  parseHeader,
} from '@cresus-safe/protocol';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { kitOnPage } from '../support/kit.ts';
import { Patient } from '../support/patient.ts';
import { SECRET } from '../support/world.ts';

jest.setTimeout(300_000); // dozens of processes and derivations of the key, on a busy machine too

let patient: Patient;
let secret = SECRET;
let kit: Uint8Array;
let rotations = 0;

beforeAll(async () => {
  patient = await Patient.create();
  await patient.converges();
  await printKit();
});
afterAll(() => patient[Symbol.asyncDispose]());

async function printKit(): Promise<void> {
  const page = patient.world.path(`kit-${rotations}.html`);
  const agent = patient.agent.with({ secret });
  await agent.refused(['kit', 'create', page]);
  await agent.json(['kit', 'create', page, '--typed-back', kitOnPage(page)]);
  kit = decodeKit(kitOnPage(page));
}

const succeeds = async (act: () => unknown): Promise<boolean> => {
  try {
    await act();
    return true;
  } catch (error) {
    expect(['wrong-secret', 'wrong-kit']).toContain((error as { kind?: string }).kind);
    return false;
  }
};

/** What opens the vault as the server shows it now: the secret key of before, the new one, the kit of before. */
async function openers(next: string) {
  const { world, watcher } = patient;
  const remote = new HttpRemote({ url: world.server.url, token: readToken(homeAt(watcher.home)) });
  try {
    const shown = await remote.vault();
    if (shown === undefined) throw new Error('no vault');
    const header: Header = parseHeader(shown.header);
    const by = (text: string) => succeeds(() => openWithSecret(header, normaliseSecret(text), shown.share));
    const opened = [await by(secret), await by(next), await succeeds(() => openWithKit(header, kit))];
    return { opened, generation: header.generation };
  } finally {
    remote.close();
  }
}

describe('F-24 an agent that is killed while it renews the keys', () => {
  it.each([
    ['header-before', 1, 'old'],
    ['state-temp', 1, 'old'],
    ['commit-sent', 1, 'new'],
    ['commit-acked', 1, 'new'],
    ['header-sent', 1, 'new'],
    ['state-renamed', 3, 'new'],
    ['header-acked', 1, 'new'],
  ] as const)(
    'F-24 F-23 at %s:%i the vault is whole in the %s generation, opens with its secret key and the kit that is valid, and all is readable',
    async (point, n, expected) => {
      rotations += 1;
      const next = `une clé toute neuve, la ${rotations}e`;
      const rotate = (from: string) => patient.agent.with({ secret: from, env: { CRESUS_SAFE_NEW_SECRET: next } });
      const words = ['secret', 'change', '--rotate'];
      expect(await rotate(secret).dies(point, n, words)).toBe(true);
      const { opened, generation } = await openers(next);
      const isOld = expected === 'old';
      expect([opened, generation]).toEqual([[isOld, !isOld, isOld], isOld ? rotations - 1 : rotations]);
      if (isOld) expect(await rotate(secret).json(words)).toMatchObject({ kit: 'invalidated', generation: rotations });
      else expect(await rotate(secret).refused(words)).toMatchObject({ exitCode: 4 });
      secret = next;
      await patient.watcher.with({ secret }).json(['secret', 'remember']);
      patient.work();
      expect(await patient.converges(patient.agent.with({ secret }))).toMatchObject({ unchanged: false });
      await patient.holds(rotations === 7 ? 'all' : 'newest');
      await printKit();
    },
  );
});
